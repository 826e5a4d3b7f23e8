/**
 * The roll of a stop: every turn that ran in it and how it ended. Sessions enter what runs when the stop begins and
 * tell of each start and end from then on, so that a turn which started and finished inside the drain is not missing
 * from the report, and one that never answered is named in it.
 */
import { type SessionRow, tenths, type TurnOutcome } from "./Report.ts"

/** A turn as it is entered. */
export interface RunningTurn {
  readonly session: number
  /** Text form of the session. */
  readonly key: string
  readonly turn: number
  readonly attempt: number
  /** Monotonic milliseconds at which this attempt began. */
  readonly since: number
  /** What it is doing now; never throws. */
  readonly state: () => string
}

/** A process that had to be killed, and the last signal it took. */
export interface KilledChild {
  readonly pid: number
  readonly signal: string
}

interface Line {
  readonly session: number
  readonly key: string
  readonly running: RunningTurn | undefined
  outcome: TurnOutcome | undefined
  endedAt: number | undefined
  state: string
  child: KilledChild | undefined
}

/** Most lines that a report carries; the rest is counted. */
export const maxLines = 1000

/** What sessions write into while a stop runs. Synchronous and never throwing: it is called where nothing may wait. */
export class Roll {
  readonly #lines: Array<Line> = []
  readonly #byTurn = new Map<number, Line>()
  readonly #asking = new Set<number>()
  readonly #now: () => number

  /** `now` is the monotonic clock in milliseconds. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** A turn runs: at the begin of the stop or started in its drain. Entering it again changes nothing. */
  started(running: RunningTurn): void {
    if (this.#byTurn.get(running.turn)?.outcome === undefined && this.#byTurn.has(running.turn)) return
    const line: Line = {
      session: running.session,
      key: running.key,
      running,
      outcome: undefined,
      endedAt: undefined,
      state: "",
      child: undefined
    }
    this.#lines.push(line)
    this.#byTurn.set(running.turn, line)
  }

  /** A turn wants this stop: it waits for the stop, so the stop must not wait for it. */
  asked(turn: number): void {
    this.#asking.add(turn)
  }

  /** The turns that want this stop. */
  asking(): ReadonlyArray<number> {
    return [...this.#asking]
  }

  /** Whether a turn wants this stop. */
  isAsking(turn: number): boolean {
    return this.#asking.has(turn)
  }

  /** An attempt is over and its agent has let go. */
  ended(turn: number, outcome: "finished" | "failed" | "interrupted"): void {
    const line = this.#byTurn.get(turn)
    if (line?.running === undefined || line.outcome !== undefined) return
    line.state = line.running.state()
    line.endedAt = this.#now()
    line.outcome = this.#named(line, outcome)
  }

  /** A session's agent had to be killed, in a turn or idle. */
  killed(session: { readonly id: number; readonly key: string }, child: KilledChild): void {
    const line = this.#lines.findLast((line) => line.session === session.id)
    if (line !== undefined) {
      line.child = child
      if (line.outcome === "interrupted") line.outcome = "killed"
      return
    }
    this.#lines.push({
      session: session.id,
      key: session.key,
      running: undefined,
      outcome: "killed",
      endedAt: this.#now(),
      state: "idle",
      child
    })
  }

  /** The turns that have not ended yet. */
  open(): ReadonlyArray<RunningTurn> {
    return this.#lines.flatMap((line) =>
      line.outcome === undefined && line.running !== undefined ? [line.running] : []
    )
  }

  /** The lines of the report: the ones that were cut first. What is still open counts as interrupted. */
  rows(): { readonly rows: ReadonlyArray<SessionRow>; readonly more: number } {
    const rank = (row: SessionRow) => (row.outcome === "finished" ? 2 : row.outcome === "failed" ? 1 : 0)
    const rows = this.#lines.map((line) => this.#row(line)).sort((a, b) => rank(a) - rank(b))
    return { rows: rows.slice(0, maxLines), more: Math.max(0, rows.length - maxLines) }
  }

  #named(line: Line, outcome: TurnOutcome): TurnOutcome {
    if (outcome !== "interrupted") return outcome
    if (line.running !== undefined && this.isAsking(line.running.turn)) return "asked"
    return line.child === undefined ? "interrupted" : "killed"
  }

  #row(line: Line): SessionRow {
    const { running, child } = line
    const outcome = line.outcome ?? this.#named(line, "interrupted")
    const state = line.outcome === undefined && running !== undefined ? running.state() : line.state
    if (running === undefined) return { session: line.session, key: line.key, state, outcome, ...child }
    const row = {
      session: line.session,
      key: line.key,
      turn: running.turn,
      attempt: running.attempt,
      age: tenths(Math.max(0, (line.endedAt ?? this.#now()) - running.since)),
      state,
      outcome
    }
    return child === undefined ? row : { ...row, ...child }
  }
}
