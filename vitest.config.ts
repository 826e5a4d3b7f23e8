// Three groups of tests, one after the other. The packages' tests run on TestClock, those of the apps start real processes
// and wait on what they say: both share the machine. What holds a process to its deadlines by the real clock, and the
// torture levels, have it to themselves, one file at a time. Every file has a process of its own: SQLite's locks belong
// to the process that opened them.
import { availableParallelism, totalmem } from "node:os"
import { defineConfig } from "vitest/config"

/** Tests that have the machine to themselves. */
const alone = [
  "apps/torture/test/ci.*.test.ts",
  "apps/gateway/test/{watchdog,supervisor,signals}.test.ts",
  "apps/gateway/test/process/{badInput,children,cut,drain,hurry,kinds,stop,start}.test.ts",
  "test/commands/start.test.ts"
]

/** A file at a time on each processor, as long as there is a gigabyte for each: containers often have many of the one only. */
const memory = process.constrainedMemory() || totalmem()
const workers = Math.max(1, Math.min(availableParallelism(), Math.floor(Math.min(memory, totalmem()) / 1024 ** 3)))

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "packages",
          include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
          exclude: ["test/commands/start.test.ts"],
          pool: "forks",
          maxWorkers: workers,
          testTimeout: 120_000,
          sequence: { groupOrder: 0 }
        }
      },
      {
        test: {
          name: "apps",
          include: ["apps/*/test/**/*.test.ts"],
          exclude: alone,
          pool: "forks",
          globalSetup: ["scripts/globalSetup.mjs"],
          maxWorkers: workers,
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 }
        }
      },
      {
        test: {
          name: "alone",
          include: alone,
          pool: "forks",
          globalSetup: ["scripts/globalSetup.mjs"],
          maxWorkers: 1,
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 2 }
        }
      }
    ]
  }
})
