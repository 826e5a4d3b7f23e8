/**
 * What waits for the writer. An entry is one write with the promise of its
 * outcome: whoever asked only awaits that promise, so a caller that leaves
 * changes nothing, and an outcome is told after the commit and never before.
 */
import * as Exit from "effect/Exit"
import type { Accepted, AcceptError } from "../../../Message.ts"
import type { RoundKind } from "../../boundary.ts"
import type { Prepared } from "../writes/admit.ts"
import type { ForgetEntry } from "../writes/forget.ts"
import type { PreparedPost } from "../writes/posts.ts"
import type {
  Claim,
  Claimed,
  CommandAction,
  CommandOutcome,
  Forgotten,
  JournalError,
  Notice,
  PermissionRow,
  ReplyRow,
  ReplyStep,
  Route,
  Row,
  Settle,
  Spent,
  ValuePlace
} from "../records.ts"
import type { Farewell, Return } from "../writes/restarts.ts"
import type { Piece, Place } from "../writes/retention.ts"

/** A command with how its reply is worded. */
export interface CommandEntry {
  readonly seq: number
  readonly action: CommandAction
  readonly route: Route
  readonly placeholder: string | undefined
  readonly render: (outcome: CommandOutcome) => ReadonlyArray<string>
  readonly why: ((outcome: CommandOutcome) => string) | undefined
}

/** A report of a stop as it is stored. */
export interface StoredReport {
  readonly reason: string
  readonly exitCode: number
  readonly millis: number
  readonly clean: boolean
  readonly json: unknown
}

/** What came of a turn's earlier request to stop. */
export interface AskedBefore {
  readonly reason: string
  readonly epoch: number
  readonly report: unknown
}

/** A value of a session, read and replaced in one transaction. */
export interface ValueEntry {
  readonly place: ValuePlace
  readonly key: string
  /**
   * What is stored instead of what it is given; `undefined` = nothing. It may run more than once, of which the last time
   * counts, and it must not throw: that ends in a defect of its caller.
   */
  readonly change: (stored: string | undefined) => string | undefined
}

/** Every kind of write: what it takes, what it answers, how it fails. */
export interface Kinds {
  readonly premark: [{ readonly reason: string }, { readonly turns: number; readonly sessions: number }, JournalError]
  readonly settle: [Settle, boolean, JournalError]
  readonly spend: [{ readonly turn: number; readonly spent: Spent }, void, JournalError]
  readonly resume: [{ readonly turn: number }, Claimed | undefined, JournalError]
  readonly claim: [Claim, Claimed | undefined, JournalError]
  readonly tool: [
    { readonly turn: number; readonly attempt: number; readonly name: string | undefined },
    void,
    JournalError
  ]
  readonly steer: [
    { readonly turn: number; readonly attempt: number; readonly seqs: ReadonlyArray<number> },
    ReadonlyArray<Row>,
    JournalError
  ]
  readonly hand: [
    { readonly turn: number; readonly attempt: number; readonly seqs: ReadonlyArray<number> },
    boolean,
    JournalError
  ]
  readonly keep: [ValueEntry, boolean, JournalError]
  readonly ask: [
    { readonly turn: number; readonly question: string; readonly options: ReadonlyArray<string> },
    PermissionRow | undefined,
    JournalError
  ]
  readonly unask: [{ readonly permission: number; readonly decision: string }, boolean, JournalError]
  readonly asked: [{ readonly turn: number; readonly reason: string }, AskedBefore | undefined, JournalError]
  readonly drop: [
    { readonly session: number; readonly seqs: ReadonlyArray<number>; readonly policy: string },
    void,
    JournalError
  ]
  readonly command: [CommandEntry, CommandOutcome | undefined, JournalError]
  readonly forget: [ForgetEntry, Forgotten | undefined, JournalError]
  readonly reserve: [{ readonly turn: number }, ReplyRow | undefined, JournalError]
  readonly step: [ReplyStep, ReplyRow | undefined, JournalError]
  readonly throttle: [
    { readonly channel: string; readonly conversation: number | undefined; readonly wait: number },
    void,
    JournalError
  ]
  readonly notice: [Notice, ReplyRow | undefined, JournalError]
  readonly farewell: [Farewell, number, JournalError]
  readonly return: [ReadonlyArray<Return>, number, JournalError]
  readonly replay: [{ readonly reply: number }, ReplyRow | undefined, JournalError]
  readonly discard: [{ readonly reply: number }, boolean, JournalError]
  readonly report: [StoredReport, void, JournalError]
  readonly upkeep: [Upkeep, void, JournalError]
  readonly compact: [Place, Piece, JournalError]
  readonly admit: [Prepared, Accepted, AcceptError]
  readonly post: [PreparedPost, Accepted, AcceptError]
}

/** Housekeeping of the journal itself. */
export type Upkeep =
  /** The boot is healthy. */
  | { readonly _tag: "Healthy" }
  /** A suspect ran for five minutes: from now on a crash counts for everybody again. */
  | { readonly _tag: "TrialOver"; readonly turn: number; readonly attempt: number }
  /** Nothing but the uptime that every round stores, for a boot in which nobody writes. */
  | { readonly _tag: "Uptime" }

export type Kind = keyof Kinds
export type Input<K extends Kind> = Kinds[K][0]
export type Output<K extends Kind> = Kinds[K][1]
export type Failure<K extends Kind> = Kinds[K][2]

/** One write that waits. */
export interface Entry<K extends Kind = Kind> {
  readonly kind: K
  readonly input: Input<K>
  /** Size by which the lane is bounded. */
  readonly bytes: number
  /** Monotonic milliseconds of the call. */
  readonly at: number
  /** Tells whoever waits; nobody hears it twice. */
  readonly tell: (outcome: Exit.Exit<Output<K>, Failure<K>>) => void
  outcome: Exit.Exit<Output<K>, Failure<K>> | undefined
}

/** Says how an entry will have gone when its round commits. */
export const succeed = <K extends Kind>(entry: Entry<K>, value: Output<K>): void => {
  entry.outcome = Exit.succeed(value)
}

/** Says that an entry is refused when its round commits; the rest of the round stands. */
export const fail = <K extends Kind>(entry: Entry<K>, error: Failure<K>): void => {
  entry.outcome = Exit.fail(error)
}

/** Ends an entry now, with what its round said. */
export const conclude = (entry: Entry): void =>
  entry.tell(entry.outcome ?? Exit.die(new Error(`a ${entry.kind} was written without an outcome`)))

/** Label of the durable boundary that a kind crosses; upkeep has none. */
export const boundaryOf: Readonly<Record<Kind, RoundKind | undefined>> = {
  premark: "premark",
  settle: "settle",
  spend: "settle",
  resume: "resume",
  claim: "claim",
  tool: "tool",
  steer: "claim",
  hand: "claim",
  keep: "keep",
  ask: "permission",
  unask: "permission",
  asked: "tool",
  drop: "drop",
  command: "command",
  forget: "command",
  reserve: "reserve",
  step: "step",
  throttle: "throttle",
  notice: "notice",
  farewell: "notice",
  return: "notice",
  replay: "notice",
  discard: "notice",
  report: "report",
  upkeep: undefined,
  compact: undefined,
  admit: "admit",
  post: "post"
}
