/**
 * The arithmetic and the words of a stop: deadlines, limits and exit codes for every input, the report as people read it,
 * and the line that the next boot prints about it.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { weigh } from "../src/internal/shutdown/exitCode.ts"
import { maxLines, Roll } from "../src/internal/shutdown/Roll.ts"
import { phaseNames } from "../src/internal/shutdown/Report.ts"
import { hasten, hurry, limitOf, plan, reserveOf, shortest, tailOf } from "../src/internal/shutdown/Timetable.ts"
import type { PostMortem } from "../src/Journal.ts"
import * as Shutdown from "../src/Shutdown.ts"

const millis = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 600_000 }))
const moment = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))
const phase = Schema.Literals(phaseNames)

describe("the timetable", () => {
  it.prop(
    "S14: the deadline is the timeout or the budget less its reserve, whichever is nearer",
    [moment, millis, millis],
    ([at, timeout, limit]) => {
      const timetable = plan(at, timeout, { limit, source: "supervisor" })
      const length = timetable.deadline - at
      const reserve = reserveOf(limit)
      assert.isTrue(reserve >= 1200 && reserve <= 5000)
      assert.closeTo(length, Math.max(shortest, Math.min(timeout, limit - reserve)), 1e-6)
      if (limit >= shortest + 1200 && limit <= timeout) assert.isAtMost(length, limit - 1200 + 1e-6)
      assert.strictEqual(timetable.source === "drain.timeout", timeout <= limit - reserve)
      assert.closeTo(plan(at, timeout, undefined).deadline - at, Math.max(shortest, timeout), 1e-6)
    }
  )

  it.prop(
    "the tail is a fifth of the stop, half a second to three seconds, and never more than all of it",
    [millis],
    ([length]) => {
      const tail = tailOf(length)
      assert.isAtMost(tail, length)
      assert.isAtMost(tail, 3000)
      if (length >= 500) assert.isAtLeast(tail, 500)
      if (length >= 2500 && length <= 15_000) assert.closeTo(tail, length / 5, 1e-6)
    }
  )

  it.prop(
    "no phase can move the deadline, whenever it begins and however late",
    [moment, millis, moment, phase],
    ([at, timeout, later, name]) => {
      const timetable = plan(at, timeout, undefined)
      const limit = limitOf(timetable, name, at + later)
      assert.isAtMost(limit, timetable.deadline)
      if (name === "drain") assert.strictEqual(limit, timetable.drainUntil)
    }
  )

  it.prop(
    "later phases of the tail never end before earlier ones, and the last one has the deadline",
    [moment, millis, millis],
    ([at, timeout, later]) => {
      const timetable = plan(at, timeout, undefined)
      const now = Math.min(at + later, timetable.deadline)
      const limits = (["interrupt", "outbox", "channels", "close"] as const).map((name) =>
        limitOf(timetable, name, now)
      )
      assert.deepStrictEqual(
        limits,
        limits.toSorted((a, b) => a - b)
      )
      assert.closeTo(limits[3] ?? 0, timetable.deadline, 1e-6)
    }
  )

  it.prop(
    "S7: hurry leaves at most a second, never moves the end to later, and a second hurry changes nothing for the worse",
    [moment, millis, millis],
    ([at, timeout, later]) => {
      const timetable = plan(at, timeout, undefined)
      const once = hasten(timetable, at + later, "SIGINT")
      assert.strictEqual(once.deadline, Math.min(timetable.deadline, at + later + hurry))
      assert.isAtMost(once.drainUntil, Math.max(at + later, timetable.drainUntil))
      const twice = hasten(once, at + later + 100, "SIGINT")
      assert.isAtMost(twice.deadline, once.deadline)
      const moved = once.deadline < timetable.deadline
      assert.strictEqual(once.source.startsWith("hurried by SIGINT; before that "), moved)
      if (!moved) assert.strictEqual(once.source, "drain.timeout")
      for (const name of phaseNames) assert.isAtMost(limitOf(once, name, at + later), once.deadline)
    }
  )
})

describe("exit codes", () => {
  const code = Schema.Literals([0, 69, 70, 74, 75, 80, 81])
  it.prop(
    "several reasons: 69 > 74 > 70 > 81 > 75 > 80 > 0, and all of them are kept",
    [Schema.Array(code)],
    ([codes]) => {
      const reasons = weigh(codes.map((each) => ({ code: each, why: "" })))
      const order = [69, 74, 70, 81, 75, 80, 0]
      const ranks = reasons.map((reason) => order.indexOf(reason.code))
      assert.deepStrictEqual(
        ranks,
        ranks.toSorted((a, b) => a - b)
      )
      assert.strictEqual(reasons.length, Math.max(1, codes.length))
      if (codes.length === 0) assert.strictEqual(reasons[0].code, 0)
    }
  )
})

describe("the roll", () => {
  const running = (turn: number) => ({
    session: turn,
    key: `http/${turn}`,
    turn,
    attempt: 1,
    since: 0,
    state: () => "tool"
  })

  it("S11: names the process that had to be killed, in a turn or idle, and keeps what finished as finished", () => {
    const roll = new Roll(() => 1000)
    for (const turn of [1, 2, 3]) roll.started(running(turn))
    roll.ended(1, "finished")
    roll.killed({ id: 1, key: "http/1" }, { pid: 11, signal: "SIGKILL" })
    roll.killed({ id: 2, key: "http/2" }, { pid: 12, signal: "SIGKILL" })
    roll.ended(2, "interrupted")
    roll.ended(3, "interrupted")
    roll.killed({ id: 3, key: "http/3" }, { pid: 13, signal: "SIGTERM" })
    roll.killed({ id: 9, key: "http/idle" }, { pid: 19, signal: "SIGKILL" })
    assert.deepStrictEqual(
      roll.rows().rows.map(({ key, outcome, pid, turn }) => [key, turn, outcome, pid]),
      [
        ["http/2", 2, "killed", 12],
        ["http/3", 3, "killed", 13],
        ["http/idle", undefined, "killed", 19],
        ["http/1", 1, "finished", 11]
      ]
    )
  })

  it("C9: carries at most its bound of lines and counts the rest", () => {
    const roll = new Roll(() => 0)
    for (let turn = 0; turn < maxLines + 5; turn++) roll.started(running(turn))
    const { more, rows } = roll.rows()
    assert.strictEqual(rows.length, maxLines)
    assert.strictEqual(more, 5)
  })

  it("a session's next turn in the same stop is a line of its own", () => {
    const roll = new Roll(() => 0)
    roll.started(running(1))
    roll.started(running(1))
    roll.ended(1, "finished")
    roll.started({ ...running(1), turn: 2 })
    assert.deepStrictEqual(
      roll.rows().rows.map((row) => [row.turn, row.outcome]),
      [
        [2, "interrupted"],
        [1, "finished"]
      ]
    )
  })
})

const fields: ConstructorParameters<typeof Shutdown.Report>[0] = {
  reason: "restart",
  by: ["SIGUSR1", "SIGTERM"],
  epoch: 4,
  startedAt: 1_700_000_000_000,
  millis: 28_412.3,
  deadline: { millis: 30_000, source: "drain.timeout" },
  forced: 0,
  phases: [
    { name: "pre-mark", millis: 1.9, outcome: "done" },
    { name: "intake", millis: 0.4, outcome: "done" },
    { name: "flush", millis: 0.1, outcome: "died", detail: "Error: no such\ntimer\u001b[31m" },
    { name: "drain", millis: 27_000, outcome: "timed out", detail: "still waiting for: sessions" },
    { name: "interrupt", millis: 1301, outcome: "done" },
    { name: "outbox", millis: 80, outcome: "done" },
    { name: "channels", millis: 14, outcome: "done" },
    { name: "close", millis: 11, outcome: "done" }
  ],
  sessions: [
    {
      session: 1,
      key: "http/kim",
      turn: 12,
      attempt: 2,
      age: 125_000,
      state: "tool",
      outcome: "killed",
      pid: 4711,
      signal: "SIGKILL"
    },
    { session: 2, key: "http/bob#work", turn: 13, attempt: 1, age: 27_500, state: "processing", outcome: "asked" },
    { session: 3, key: "http/eve", turn: 14, attempt: 1, age: 900, state: "responding", outcome: "finished" }
  ],
  moreSessions: 0,
  queued: [
    { conversation: "http/kim", waiting: 3 },
    { conversation: "http/bob", waiting: 2 },
    { conversation: "http/a", waiting: 1 },
    { conversation: "http/b", waiting: 1 }
  ],
  moreQueued: 4,
  replies: { sent: 5, pending: 1, unknown: 0 },
  drains: [
    {
      name: "pool",
      millis: 2000,
      outcome: "timed out",
      counts: { drained: 3, aborted: 1 },
      detail: "it did not end within its budget"
    }
  ],
  ledger: { accepted: 120, open: 12, ends: { replied: 100, command: 8 }, balanced: true },
  exitCode: 70,
  reasons: [
    { code: 70, why: "flush died: Error: no such timer" },
    { code: 75, why: "to be started again" },
    { code: 80, why: "1 turn interrupted" }
  ]
}
const report = new Shutdown.Report(fields)

describe("the report", () => {
  it("reads like this", () => {
    assert.deepStrictEqual(Shutdown.Report.text(report).split("\n"), [
      "Stopped in 28.4 s (SIGUSR1, SIGTERM): a defect, exit 70",
      "  because   flush died: Error: no such timer (70)",
      "  because   to be started again (75)",
      "  because   1 turn interrupted (80)",
      "  deadline  30.0 s, drain.timeout",
      "  phases    pre-mark 2 ms, intake 0 ms, flush 0 ms (died), drain 27.0 s (timed out), interrupt 1.3 s, outbox 80 ms, channels 14 ms, close 11 ms",
      "            flush died: Error: no such timer [31m",
      "  turns     1 killed, 1 asked, 1 finished",
      "            http/kim: turn 12, attempt 2, killed (pid 4711, SIGKILL) after 2 min 5 s, tool",
      "            http/bob#work: turn 13, attempt 1, asked after 27.5 s, processing",
      "  drains    pool: timed out, 3 drained, 1 aborted, 2.0 s: it did not end within its budget",
      "  queued    11 messages for the next boot: http/kim 3, http/bob 2, http/a 1, others 5",
      "  replies   5 sent, 1 pending, 0 unknown",
      "  ledger    balanced: 120 accepted, 108 ended, 12 open"
    ])
  })

  it("names as many drains as it has room for, and counts the others", () => {
    const drains = Array.from({ length: 20 }, (_, index) => ({
      name: `pool ${index}`,
      millis: 1,
      outcome: "done" as const,
      counts: { drained: index }
    }))
    const quiet = { ...fields, sessions: [], queued: [], moreQueued: 0, reasons: [{ code: 0, why: "clean" }], drains }
    const lines = Shutdown.Report.text(new Shutdown.Report(quiet)).split("\n")
    assert.strictEqual(lines.length, 25)
    const named = lines.filter((line) => line.startsWith("  drains    pool "))
    assert.isAtLeast(named.length, 15)
    assert.include(lines, `            and ${20 - named.length} more`)
    assert.match(lines.at(-1) ?? "", /^ {2}ledger /)
  })

  it("a cut at the deadline is told once, by the turns that were cut", () => {
    const why = "drain timed out: still waiting for: sessions"
    const reasons = [
      { code: 80, why: "1 turn interrupted" },
      { code: 80, why }
    ]
    const text = Shutdown.Report.text(new Shutdown.Report({ ...fields, reasons, exitCode: 80 }))
    assert.notInclude(text, "still waiting for")
    assert.strictEqual(text.split("\n").filter((line) => line.includes("because")).length, 1)
    // With no turn to name it is said what was waited for.
    const idle = Shutdown.Report.text(
      new Shutdown.Report({ ...fields, sessions: [], reasons: [{ code: 80, why }], exitCode: 80 })
    )
    assert.include(idle, `  because   ${why} (80)`)
  })

  it("a restart says so once, and is not called clean when it had to cut a turn", () => {
    const again = { code: 75, why: "to be started again" }
    const cut = { code: 80, why: "1 turn interrupted" }
    const text = (reasons: (typeof fields)["reasons"]) =>
      Shutdown.Report.text(new Shutdown.Report({ ...fields, phases: [], reasons, exitCode: 75 })).split("\n")
    assert.deepStrictEqual(text([again]).slice(0, 2), [
      "Stopped in 28.4 s (SIGUSR1, SIGTERM): clean, for a restart, exit 75",
      "  deadline  30.0 s, drain.timeout"
    ])
    assert.deepStrictEqual(text([again, cut]).slice(0, 2), [
      "Stopped in 28.4 s (SIGUSR1, SIGTERM): at its deadline, for a restart, exit 75",
      "  because   1 turn interrupted (80)"
    ])
  })

  it("a full disk that several parts notice is one reason, and the phase that stores the report is under way", () => {
    const full = { code: 74, why: "the gateway could not go on: the store failed: the disk is full" }
    const close = { name: "close", millis: 3, outcome: "running" } as const
    const text = Shutdown.Report.text(
      new Shutdown.Report({ ...fields, reasons: [full, full], exitCode: 74, phases: [close] })
    )
    assert.strictEqual(text.split("\n").filter((line) => line.includes("because")).length, 1)
    assert.include(text, "  phases    close under way\n")
    assert.notInclude(text, "close running")
  })

  it("survives JSON, so that it can be stored, served and read back", () => {
    const json: unknown = JSON.parse(JSON.stringify(Schema.encodeSync(Shutdown.Report)(report)))
    assert.deepStrictEqual(Schema.decodeUnknownSync(Shutdown.Report)(json), report)
  })

  it.prop("has at most 25 lines for people, whatever is in it", [Shutdown.Report], ([any]) => {
    const lines = Shutdown.Report.text(any).split("\n")
    assert.isAtMost(lines.length, 25)
    assert.isTrue(lines.every((line) => !/\p{Cc}/u.test(line)))
  })
})

describe("S17: the last stop in one line", () => {
  const base: PostMortem = {
    epoch: 3,
    end: "clean",
    reason: "stop",
    marked: true,
    exitCode: 0,
    startedAt: Date.UTC(2026, 10, 20, 14, 0, 0),
    endedAt: Date.UTC(2026, 10, 20, 14, 3, 12, 500),
    millis: 1200,
    cut: false,
    openTurns: 0,
    waiting: 0,
    openReplies: 0
  }
  const lines: ReadonlyArray<readonly [string, Partial<PostMortem>, string]> = [
    ["a first start", { end: "first" }, "none, this is the first start"],
    ["a clean stop", {}, "clean in 1.2 s"],
    ["a restart", { reason: "restart", exitCode: 75 }, "clean in 1.2 s, for a restart"],
    [
      "a restart that cut a turn",
      { reason: "restart", exitCode: 75, cut: true, openTurns: 1 },
      "at its deadline after 1.2 s, for a restart; it left 1 turn"
    ],
    ["messages that came in the stop", { waiting: 2 }, "clean in 1.2 s; it left 2 waiting messages"],
    [
      "a stop at its deadline",
      { exitCode: 80, millis: 27_000, openTurns: 2 },
      "at its deadline after 27.0 s; it left 2 turns"
    ],
    ["a forced stop", { exitCode: 81, millis: 400, openTurns: 1 }, "forced, over after 400 ms; it left 1 turn"],
    [
      "a crash",
      {
        end: "unclean",
        reason: undefined,
        marked: false,
        exitCode: undefined,
        millis: undefined,
        openTurns: 2,
        waiting: 3,
        openReplies: 1
      },
      "UNCLEAN: ended without a stop at about 2026-11-20T14:03:12Z, 3 min 12 s after its start; open since then: 2 turns, 3 waiting messages, 1 reply"
    ],
    [
      "a stop that was killed",
      { end: "unclean", reason: "stop", exitCode: undefined, endedAt: undefined, millis: undefined, openTurns: 1 },
      "UNCLEAN: killed while it stopped (stop), some time after 2026-11-20T14:00:00Z; open since then: 1 turn"
    ],
    [
      "a storage failure",
      { end: "unclean", exitCode: 74 },
      "UNCLEAN: the storage failed (exit 74) at about 2026-11-20T14:03:12Z, 3 min 12 s after its start; nothing was open"
    ]
  ]
  for (const [what, change, line] of lines) {
    it(`tells ${what}`, () => {
      assert.strictEqual(Shutdown.lastStop({ ...base, ...change }), line)
    })
  }
})
