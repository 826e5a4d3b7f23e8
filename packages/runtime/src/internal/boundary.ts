/**
 * The labelled durable boundaries: the points between which a crash must be
 * survived. Each is crossed by calling `cross(label)`, which does nothing in a
 * shipped program; a test provides `Boundary` to kill, fail or hold the process
 * there, and loops over `boundaries` so that no label goes untested.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

const rounds = [
  "admit",
  "post",
  "claim",
  "resume",
  "settle",
  "drop",
  "tool",
  "keep",
  "command",
  "permission",
  "reserve",
  "step",
  "throttle",
  "notice",
  "premark",
  "report",
  "open"
] as const

/** A kind of write of the journal's writer. */
export type RoundKind = (typeof rounds)[number]

const phases = [
  "stop:premark",
  "stop:intake",
  "stop:flush",
  "stop:drain",
  "stop:interrupt",
  "stop:outbox",
  "stop:channels",
  "stop:close",
  "boot:opened",
  "boot:channels",
  "boot:outbox",
  "boot:resume",
  "boot:backlog",
  "boot:ready",
  "reload:validated",
  "reload:agents",
  "reload:channels",
  "reload:done",
  "send:before",
  "send:after"
] as const

/** A point in the program; `before:` a round's first statement, `inside:` before its commit, `after:` before anybody hears of it. */
export type Label = `${"before" | "inside" | "after"}:${RoundKind}` | (typeof phases)[number]

/** Every label, for loops. */
export const boundaries: ReadonlyArray<Label> = [
  ...rounds.flatMap((round): Array<Label> => [`before:${round}`, `inside:${round}`, `after:${round}`]),
  ...phases
]

/** What happens at a boundary: nothing, unless a test says otherwise. */
export const Boundary = Context.Reference<((label: Label) => Effect.Effect<void>) | undefined>(
  "@sluice/runtime/internal/Boundary",
  { defaultValue: () => undefined }
)

/** Crosses a boundary. */
export const cross = (label: Label): Effect.Effect<void> =>
  Effect.flatMap(Boundary, (at) => (at === undefined ? Effect.void : at(label)))
