// What docs/operations.md says of the program, compared with the program: exit codes, the report's text, the names of
// metrics and of files. Somebody reads that page at night and must not be told of what is not there.
import { assert, describe, it } from "@effect/vitest"
import { type Ending, endings } from "@sluice/runtime/Message"
import { Report } from "@sluice/runtime/Shutdown"
import * as Context from "effect/Context"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { scrapeOf } from "../src/pools/PoolMetrics.ts"
import { codes } from "../src/process/Exit.ts"
import * as Metrics from "../src/Metrics.ts"
import { files } from "../src/StateFolder.ts"

const page = readFileSync(fileURLToPath(new URL("../../../docs/operations.md", import.meta.url)), "utf8")

/** The section under a heading. */
const section = (heading: string): string => page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? ""

const report = new Report({
  reason: "stop",
  by: ["SIGTERM"],
  epoch: 3,
  startedAt: 0,
  millis: 27_000,
  deadline: { millis: 30_000, source: "drain.timeout" },
  forced: 0,
  phases: [
    { name: "pre-mark", millis: 21, outcome: "done" },
    { name: "intake", millis: 1, outcome: "done" },
    { name: "flush", millis: 1, outcome: "done" },
    { name: "drain", millis: 26_950, outcome: "timed out", detail: "still waiting for: sessions" },
    { name: "interrupt", millis: 4, outcome: "done" },
    { name: "outbox", millis: 1, outcome: "done" },
    { name: "channels", millis: 4, outcome: "done" },
    { name: "close", millis: 18, outcome: "done" }
  ],
  sessions: [
    { session: 4, key: "http/kim", turn: 7, attempt: 1, age: 28_300, state: "processing", outcome: "interrupted" },
    { session: 5, key: "http/ann", turn: 6, attempt: 1, age: 900, state: "idle", outcome: "finished" }
  ],
  moreSessions: 0,
  queued: [{ conversation: "http/kim", waiting: 2 }],
  moreQueued: 0,
  replies: { sent: 5, pending: 0, unknown: 0 },
  drains: [{ name: "pool search", millis: 2100, outcome: "done", counts: { drained: 3, aborted: 1, rejected: 2 } }],
  ledger: { accepted: 7, open: 3, ends: { replied: 4 }, balanced: true },
  exitCode: 80,
  reasons: [
    { code: 80, why: "1 turn interrupted" },
    { code: 80, why: "drain timed out: still waiting for: sessions" }
  ]
})

const metrics = Metrics.text(
  {
    figures: {
      oldestOpen: undefined,
      waiting: 0,
      accepted: 0,
      ends: Object.fromEntries(endings.map((end) => [end, 0])) as Record<Ending, number>,
      openTurns: {},
      turns: {},
      replies: {},
      boots: {},
      walBytes: 0,
      writer: { rounds: 0, entries: 0, waiting: 0, retries: 0, commitMillis: { bounds: [], counts: [], sum: 0 } }
    },
    readiness: { ready: true, problems: [], channels: [] },
    clients: { webSockets: 3, streams: 2, readers: 7 },
    live: [],
    now: 0,
    uptime: 0,
    residentBytes: 0,
    version: "0.1.0",
    epoch: 1,
    more: scrapeOf({ pools: [], memory: { used: 0, limit: 0 } })
  },
  Context.empty()
)

describe("the page of operations", () => {
  it("has every exit code of the program once, and no other", () => {
    const listed = [...section("Exit codes").matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code))
    assert.sameMembers(listed, Object.values(codes))
  })

  it("shows a report as the program prints it", () => {
    const shown = /```\n(Stopped in [^]*?)```/.exec(section("The report"))?.[1] ?? ""
    assert.strictEqual(shown, `${Report.text(report)}\n`)
  })

  it("explains every line that a report can have", () => {
    const words = [...Report.text(report).matchAll(/^ {2}([a-z]+)/gm)].map(([, word]) => word)
    for (const word of words) assert.include(section("The report"), `| \`${word}\` |`)
  })

  it("alerts on metrics that exist", () => {
    const named = [...page.matchAll(/\b(?:sluice|process)_[a-z_]+\b/g)].map(([name]) => name)
    assert.isAtLeast(new Set(named).size, 8)
    for (const name of named) assert.match(metrics, new RegExp(`^# HELP ${name} `, "m"))
  })

  it("names every file of the state directory", () => {
    for (const name of Object.values(files)) assert.include(section("The state directory"), `\`${name}`)
  })
})
