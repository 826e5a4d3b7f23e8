/**
 * A stop under way: why and for whom, its course, its roll, and the report that can be made of them at any moment, also
 * by somebody who will not wait for the end (a watchdog, a third signal).
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { cross, type Label } from "../boundary.ts"
import { Course, endingOf, inOneLine, type Pieces, reasonOf, within } from "./Course.ts"
import { codeOf, defect, type ExitReason, fenced, forced, overdue, restart, storage, weigh } from "./exitCode.ts"
import { HostDrain } from "./HostDrain.ts"
import { Inventory } from "./Inventory.ts"
import type { Parts } from "./Parts.ts"
import { type PhaseName, type Reason, Report, tenths } from "./Report.ts"
import { count } from "./reportText.ts"
import { Roll } from "./Roll.ts"
import type { Timetable } from "./Timetable.ts"

/** News of a running stop, for a watchdog, a service manager or a log. Deadlines are monotonic milliseconds. */
export type StopNews =
  /** It began. `soFar` is the report as it stands, also later: for whoever ends the process before its end. */
  | {
      readonly _tag: "Began"
      readonly reason: Reason
      readonly deadline: number
      readonly source: string
      readonly soFar: (exit?: ExitReason) => Report
    }
  /** A phase began while `open` turns run. */
  | { readonly _tag: "Phase"; readonly name: PhaseName; readonly open: number }
  /** It hurries from now on. */
  | { readonly _tag: "Hurried"; readonly by: string; readonly deadline: number }
  /** The report is stored; the journal is still to be closed. */
  | { readonly _tag: "Reported"; readonly report: Report }

/** Ends after which the next boot need not be careful: the program ran to its end and the store is in order. */
const unclean: ReadonlySet<number> = new Set([fenced, defect, storage])

/** Most requests that a report names. */
const maxWishes = 16

const encode = Schema.encodeSync(Report)

// Its parts are ours, and it is checked when it is stored: to check 1,000 lines at each look costs more than the rest.
const made = (parts: ConstructorParameters<typeof Report>[0]): Report =>
  Object.assign(Object.create(Report.prototype), parts)

export class Stopping {
  readonly course: Course
  readonly roll: Roll
  readonly drains: ReadonlyArray<HostDrain>
  readonly inventory: Inventory
  reason: Reason
  readonly #by: Array<string> = []
  readonly #reasons: Array<ExitReason> = []
  readonly #parts: Parts
  readonly #watch: (news: StopNews) => void
  /** Wall clock of the request, epoch milliseconds. */
  readonly #startedAt: number
  /** What went wrong in phase 8 while it still runs: the report that is stored must say it. */
  readonly #closing: Array<Exit.Failure<unknown, unknown>> = []
  #begun = false

  constructor(options: {
    readonly reason: Reason
    readonly timetable: Timetable
    readonly clock: Clock.Clock
    readonly parts: Parts
    readonly watch: (news: StopNews) => void
  }) {
    this.course = new Course(options.timetable, options.clock)
    const now = () => this.course.now()
    this.roll = new Roll(now)
    this.drains = options.parts.drains.map((drain) => new HostDrain(drain, now))
    this.inventory = new Inventory(options.parts)
    this.reason = options.reason
    this.#parts = options.parts
    this.#watch = options.watch
    this.#startedAt = options.clock.currentTimeMillisUnsafe() - Math.max(0, now() - options.timetable.startedAt)
  }

  /** One more wish: a stop wins over a restart that drains, an error adds its code, force hurries. */
  wish(request: { readonly reason: Reason; readonly by?: string; readonly force?: 1; readonly cause?: unknown }): void {
    const by = request.by ?? request.reason
    // A failure that several parts notice is one wish.
    const again = request.reason === "failure" && this.#by.includes(by)
    if (!again && this.#by.length < maxWishes) this.#by.push(by)
    if (this.reason === "restart") this.reason = request.reason
    if (request.reason === "failure" && this.#reasons.length < maxWishes) {
      const code = codeOf(request.cause)
      const why = `the gateway could not go on: ${request.cause === undefined ? by : inOneLine(Cause.fail(request.cause))}`
      const known = this.#reasons.some((reason) => reason.code === code && reason.why === why)
      if (!known) this.#reasons.push({ code, why })
    }
    if (request.force === undefined || !this.course.hurry(by)) return
    this.#watch({ _tag: "Hurried", by, deadline: this.course.timetable.deadline })
  }

  /** A turn waits for this stop: it is not waited for. */
  excuse(turn: number): Effect.Effect<void> {
    this.roll.asked(turn)
    return this.#begun ? this.#parts.sessions.excuse(turn) : Effect.void
  }

  /** Tells the sessions, who enter what runs into the roll. */
  readonly begin: Effect.Effect<void> = Effect.suspend(() => {
    const { deadline } = this.course.timetable
    return Effect.andThen(
      this.#parts.sessions.begin({ reason: this.reason, deadline, roll: this.roll }),
      Effect.suspend(() => {
        this.#begun = true
        return Effect.forEach(this.roll.asking(), (turn) => this.#parts.sessions.excuse(turn), { discard: true })
      })
    )
  })

  /** One phase; see {@link Course.phase}. Between any two of them the process may be killed. */
  readonly phase = (name: PhaseName, pieces: Pieces, extra?: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      this.#watch({ _tag: "Phase", name, open: this.roll.open().length })
      const label: Label = name === "pre-mark" ? "stop:premark" : `stop:${name}`
      return Effect.andThen(this.course.phase(name, pieces, extra), cross(label))
    })

  /** Phase 8: each step has its part of what is left and is made whatever became of the one before it. */
  readonly close: Effect.Effect<void, unknown> = Effect.gen({ self: this }, function* () {
    const { journal } = this.#parts
    const left = () => this.course.limitOf("close") - this.course.now()
    const steps: ReadonlyArray<readonly [Effect.Effect<void, unknown>, number]> = [
      [this.inventory.take, 1 / 3],
      [Effect.suspend(() => this.#store(journal)), 1 / 2],
      [Effect.sync(() => this.#watch({ _tag: "Reported", report: this.report() })), 1],
      [journal.close, 1]
    ]
    for (const [step, part] of steps) {
      const exit = yield* within(step, left() * part)
      if (Exit.isFailure(exit)) this.#closing.push(exit)
    }
    yield* Effect.all(this.#closing, { discard: true })
  })

  /** The report as it stands; `exit` speaks for an end that did not wait. */
  report(exit?: ExitReason): Report {
    const { course } = this
    const { more, rows } = this.roll.rows()
    const cut = rows.filter(
      (row) => row.turn !== undefined && (row.outcome === "interrupted" || row.outcome === "killed")
    )
    const [first, ...others] = weigh([
      ...(exit === undefined ? [] : [exit]),
      ...(this.reason === "restart" ? [{ code: restart, why: "to be started again" }] : []),
      ...(cut.length + more > 0 ? [{ code: overdue, why: `${count(cut.length + more, "turn")} interrupted` }] : []),
      ...(this.inventory.balanced ? [] : [{ code: defect, why: "the ledger does not balance" }]),
      ...this.#reasons,
      ...course.reasons,
      ...(course.current?.name === "close" ? this.#closing.map((exit) => reasonOf("close", endingOf(exit))) : [])
    ])
    const { deadline, source, startedAt } = course.timetable
    return made({
      reason: this.reason,
      by: [...this.#by],
      epoch: this.#parts.epoch,
      startedAt: Math.round(this.#startedAt),
      millis: tenths(course.now() - startedAt),
      deadline: { millis: tenths(deadline - startedAt), source },
      forced: exit?.code === forced ? 2 : course.isHurried ? 1 : 0,
      phases: course.rows(),
      sessions: rows,
      moreSessions: more,
      drains: this.drains.map((drain) => drain.row()),
      ...this.inventory.rows(),
      exitCode: first.code,
      reasons: [first, ...others]
    })
  }

  #store(journal: Parts["journal"]): Effect.Effect<void, unknown> {
    const report = this.report()
    const { exitCode, millis, reason } = report
    return journal.storeReport({ reason, exitCode, millis, clean: !unclean.has(exitCode), json: encode(report) })
  }
}
