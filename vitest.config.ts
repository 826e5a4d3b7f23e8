// Two groups of tests, one after the other. The packages' tests run on TestClock and may share the machine; those of
// the apps start real processes, send real signals and measure real time, so they have it to themselves, one file at
// a time. Every file has a process of its own: SQLite's locks belong to the process that opened them.
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "packages",
          include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
          exclude: ["test/commands/start.test.ts"],
          pool: "forks",
          maxWorkers: "100%",
          testTimeout: 30_000,
          sequence: { groupOrder: 0 }
        }
      },
      {
        test: {
          name: "apps",
          include: ["apps/*/test/**/*.test.ts", "test/commands/start.test.ts"],
          pool: "forks",
          globalSetup: ["scripts/globalSetup.mjs"],
          maxWorkers: 1,
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 }
        }
      }
    ]
  }
})
