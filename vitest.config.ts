// Three groups of tests, one after the other. The packages' tests run on TestClock, those of the apps start real processes
// and wait on what they say: both share the machine, one file more than it has cores, because some only wait. What holds a
// process to its deadlines by the real clock waits most of its time: two such files go beside each other, and nothing else.
// The torture levels that fill the machine, a stop that is held to a tenth of a second, and one that has half a second for
// six agents, have it to themselves, one file at a time. Every file has a process of its own: SQLite's locks belong to the
// process that opened them.
import { availableParallelism, totalmem } from "node:os"
import { join } from "node:path"
import { defineConfig } from "vitest/config"

// Hundreds of processes load the same modules: what one of them has compiled the others need not compile again.
process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, "node_modules/.cache/compiled")

/** A container often has many processors of its host's and little memory: a worker needs up to a gigabyte of it. */
const memory = Math.min(process.constrainedMemory() || totalmem(), totalmem())
const workers = Math.max(1, Math.min(availableParallelism(), Math.floor(memory / 1024 ** 3)))

/** Tests of deadlines of a second and more. */
const deadlines = [
  "apps/gateway/test/{watchdog,supervisor,signals}.test.ts",
  "apps/gateway/test/process/{badInput,children,drain,hurry,kinds,start}.test.ts",
  "test/commands/start.test.ts"
]
/** Tests that have the machine to themselves. */
const alone = ["apps/torture/test/ci.L[0-3].test.ts", "apps/gateway/test/process/{cut,stop}.test.ts"]

/** What all tests that start processes of the product have. */
const processes = {
  pool: "forks",
  globalSetup: "scripts/globalSetup.mjs",
  testTimeout: 120_000,
  hookTimeout: 60_000
} as const

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "packages",
          include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
          exclude: ["test/commands/start.test.ts"],
          pool: "forks",
          maxWorkers: workers + 1,
          testTimeout: 120_000,
          sequence: { groupOrder: 0 }
        }
      },
      {
        test: {
          ...processes,
          name: "apps",
          include: ["apps/*/test/**/*.test.ts"],
          exclude: [...deadlines, ...alone],
          maxWorkers: workers + 1,
          sequence: { groupOrder: 0 }
        }
      },
      {
        test: {
          ...processes,
          name: "deadlines",
          include: deadlines,
          maxWorkers: 2,
          sequence: { groupOrder: 1 }
        }
      },
      {
        test: {
          ...processes,
          name: "alone",
          include: alone,
          maxWorkers: 1,
          sequence: { groupOrder: 2 }
        }
      }
    ]
  }
})
