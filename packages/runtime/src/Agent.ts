/**
 * The port to what answers. An agent is opened once per live session and then
 * answers one turn at a time as a stream of events that ends in a result.
 * Interrupting that stream is cancellation. What an agent declares (`resume`,
 * `orphan`) decides what happens to its turns after a crash.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Turn, TurnMessage } from "./Message.ts"
import type { SessionDataError, SessionValues } from "./SessionData.ts"

/**
 * Why a turn has no answer. `Failed` counts an error and is tried again with
 * backoff, `Rejected` is final (the input can never be answered), `HistoryGone`
 * asks the user whether to start fresh. `NoModel` says that the model is not one that
 * there is: final where a person chose it, who is told so, else as `Failed`. The cause
 * goes to the log, never to a chat.
 */
export class AgentError extends Schema.TaggedError<AgentError>()("AgentError", {
  reason: Schema.Literals(["Failed", "Rejected", "HistoryGone", "NoModel"]),
  cause: Schema.Defect(),
  /** With `NoModel`: those that there are, where they are known. */
  models: Schema.optionalKey(Schema.Array(Schema.String))
}) {
  override get message() {
    return `agent ${happened[this.reason]}: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

const happened = {
  Failed: "failed",
  Rejected: "rejected the turn",
  HistoryGone: "lost its history",
  NoModel: "has no such model"
} as const

/** What happens while a turn is answered. Every event counts as progress for the stall timeout. */
export type AgentEvent =
  /** A piece of the answer; the answer is all of them joined. */
  | { readonly _tag: "Text"; readonly delta: string }
  /** A tool began. With `sideEffects` it is stored, so that after a crash its outcome is presented as unknown. */
  | { readonly _tag: "ToolStarted"; readonly id: string; readonly name: string; readonly sideEffects: boolean }
  | { readonly _tag: "ToolFinished"; readonly id: string }
  /** The agent waits for a decision; `respond` is called once with an option, or with `undefined` when none came. */
  | {
      readonly _tag: "Permission"
      readonly question: string
      readonly options: ReadonlyArray<string>
      readonly respond: (option: string | undefined) => Effect.Effect<void>
    }
  /** A progress line for the user. */
  | { readonly _tag: "Line"; readonly text: string }
  /**
   * Used since the turn's last such event: `inputTokens`, `outputTokens`, `cacheReadTokens`, `cacheWriteTokens`, and
   * `cost` in US dollars where the provider says it. Added up and stored with the turn; `model` finds the price.
   */
  | { readonly _tag: "Usage"; readonly usage: Readonly<Record<string, number>>; readonly model?: string }
  /**
   * The running turn took these messages over (see `steer`): from this event's commit on they belong to it. `joined` is
   * told, before the next event is taken, which of them do: one that was edited or withdrawn meanwhile does not.
   */
  | {
      readonly _tag: "Steered"
      readonly ids: ReadonlyArray<string>
      readonly joined?: (ids: ReadonlyArray<string>) => void
    }
  /** Still at work: nothing to show. */
  | { readonly _tag: "Alive" }

/** A piece of the answer. */
export const text = (delta: string): AgentEvent => ({ _tag: "Text", delta })

/** A turn that has ended with an answer. */
export interface PastTurn {
  readonly id: string
  readonly messages: ReadonlyArray<TurnMessage>
  readonly answer: string
}

/** The longest text that an agent can keep with a session, in bytes of UTF-8. */
export const maxKept = 16_384

/** A session as its agent sees it, with the typed values that a host gave it. */
export interface AgentSession extends SessionValues {
  /** Number of the session in the journal. */
  readonly id: number
  /** Text form, for example `http/kim#work`. */
  readonly key: string
  readonly name: string
  readonly conversation: string
  /** Names this store; with `epoch` it marks the children of this boot. */
  readonly instance: string
  readonly epoch: number
  /** Milliseconds since the session's last turn, absent at its first. */
  readonly idleFor?: number
  readonly systemPrompt?: string
  /** The model that a person chose; absent = the agent's own. A change closes the agent; the next turn opens it again. */
  readonly model?: string
  /**
   * What the agent keeps with the session, for example the name of the conversation at its provider; `undefined` at
   * first and after a fresh start. Of its own: another agent of the same session doesn't see it.
   */
  readonly kept: Effect.Effect<string | undefined, AgentError>
  /** Replaces it; committed when this returns. At most {@link maxKept} bytes. */
  readonly keep: (value: string | undefined) => Effect.Effect<void, AgentError>
  /** Ended turns of the session that have an answer, newest first; `before` is the id of a turn that was returned. */
  readonly history: (page: {
    readonly before?: string
    readonly limit: number
  }) => Effect.Effect<ReadonlyArray<PastTurn>, AgentError>
  /** The process of a turn, to be named in a report when it had to be killed. */
  readonly killed: (child: { readonly pid: number; readonly signal: string }) => Effect.Effect<void>
}

/** An opened agent: lives as long as the scope it was opened in. */
export interface OpenAgent<R = never> {
  readonly answer: (turn: Turn) => Stream.Stream<AgentEvent, AgentError, R>
  /**
   * Hands further messages to the running turn (queue mode `steer`). What the turn took over is told by `Steered`, what
   * it did not take is the next turn's; until all of them are taken it is handed no more. It may be called before the
   * turn's stream has begun, may take its time, and is interrupted when the turn ends. Absent = it can't; then the
   * messages are follow-ups.
   *
   * Each of them is answered once, so an answer that comes to its end is the agent's last word: what it has not told by
   * then was not taken into it, and is not taken afterwards. An agent that can't tell ends whatever could still take them,
   * tells `Steered`, and goes on with them in the same answer. An attempt that fails or is cut off need not know: its
   * turn's next attempt has them among its messages, and what could still take them has to be gone by then, as always.
   */
  readonly steer?: (messages: ReadonlyArray<TurnMessage>) => Effect.Effect<void, never, R>
}

/**
 * How many milliseconds are left for letting go of an agent, read at the moment
 * it is interrupted: `Infinity` unless the gateway is stopping. The pipeline
 * provides it around `open` and `answer`; an agent whose processes take time to
 * end shortens its own waits to it, and asks again while it waits, because a stop
 * may begin meanwhile.
 */
export const StopBudget: Context.Reference<Effect.Effect<number>> = Context.Reference(
  "@sluice/runtime/Agent/StopBudget",
  {
    defaultValue: (): Effect.Effect<number> => Effect.succeed(Infinity)
  }
)

/** Name of the environment variable that says whose turn a process works for. */
export const markerVariable = "SLUICE_MARKER"

/**
 * Whose process it is. It names no secret: `sluice stop` and `sluice restart`
 * send it along so that the turn which asks is known, and the next boot finds
 * by it what an earlier one left behind.
 */
export interface Marker {
  readonly instance: string
  readonly epoch: number
  /** Number of the session in the journal. */
  readonly session: number
  /** Id of the turn; absent for a process that serves a whole session. */
  readonly turn?: string
}

/** The one text form of a marker: `instance/epoch/session/turn`, percent-encoded where needed. */
export const formatMarker = (marker: Marker): string =>
  `${encodeURIComponent(marker.instance)}/${marker.epoch}/${marker.session}/${encodeURIComponent(marker.turn ?? "")}`

/** Reads a text that `formatMarker` wrote; `undefined` when it is not one. */
export const parseMarker = (text: string): Marker | undefined => {
  const match = /^([^/]+)\/(\d{1,15})\/(\d{1,15})\/([^/]*)$/.exec(text)
  if (match === null) return undefined
  const [, instance = "", epoch, session, turn = ""] = match
  try {
    return {
      instance: decodeURIComponent(instance),
      epoch: Number(epoch),
      session: Number(session),
      ...(turn === "" ? {} : { turn: decodeURIComponent(turn) })
    }
  } catch {
    return undefined
  }
}

/** A process of an earlier boot that still runs for a turn. */
export interface Orphan {
  readonly pid: number
  readonly epoch: number
  /** Number of its session in the journal. */
  readonly session: number
  /** Id of its turn, when its marker says so. */
  readonly turn?: string
  /** Ends it with its group and returns when it is gone. Bounded. */
  readonly reap: Effect.Effect<void>
  /** Completes when it ended by itself; what it has started may still run, and is ended with it by `reap`. */
  readonly gone: Effect.Effect<void>
}

/** What is done with a turn that was cut off: run again with its history, run again from the start, ask, or tell and drop. */
export type ResumePolicy = "resume" | "restart" | "ask" | "drop-with-notice"

/** A session whose conversation was forgotten. Its name is gone; its number is the one that it had. */
export type ForgottenSession = Pick<AgentSession, "id" | "conversation" | "instance" | "epoch">

/** An agent, by its policies and how it is opened. */
export interface Agent<out R = never> {
  readonly resume: ResumePolicy
  /** The models that a person can choose with `/model`: these, or any name. Absent: the agent has no choice. */
  readonly models?: "any" | ReadonlyArray<string>
  /** What is done with a process of an earlier boot: ended, or awaited up to the bound when its turn is still open. */
  readonly orphan: "reap" | { readonly await: Duration.Input }
  /** A running turn without an event for this long has failed; none by default. */
  readonly stallTimeout?: Duration.Input
  /** A turn that takes longer than this has failed; none by default. */
  readonly turnTimeout?: Duration.Input
  readonly open: (session: AgentSession) => Effect.Effect<OpenAgent<R>, AgentError, R | Scope.Scope>
  /** Finds the processes that earlier boots of `instance` left behind (epoch below `epoch`). */
  readonly orphans?: (boot: {
    readonly instance: string
    readonly epoch: number
  }) => Effect.Effect<ReadonlyArray<Orphan>, never, R>
  /**
   * Deletes what the agent itself has stored of a session, found by what it kept with it. Called when the session is
   * closed, and again until it succeeds, also by later boots; so deleting nothing is no failure. At most 30 s.
   */
  readonly forget?: (session: ForgottenSession, kept: string | undefined) => Effect.Effect<void, AgentError, R>
}

/** An agent, whatever it needs. */
export type AnyAgent = Agent<unknown>

/** What an agent still needs. */
export type Needs<A> = A extends Agent<infer R> ? R : never

/**
 * Makes an agent; cut-off turns run again (`restart`) and orphans are reaped unless said otherwise. A value of the
 * session that can't be read while it is opened fails the turn.
 */
export const make = <R1 = never, R2 = never, R3 = never, R4 = never>(options: {
  readonly resume?: ResumePolicy
  readonly orphan?: Agent["orphan"]
  readonly models?: Agent["models"]
  readonly stallTimeout?: Duration.Input
  readonly turnTimeout?: Duration.Input
  readonly open: (session: AgentSession) => Effect.Effect<OpenAgent<R1>, AgentError | SessionDataError, R2>
  readonly orphans?: (boot: {
    readonly instance: string
    readonly epoch: number
  }) => Effect.Effect<ReadonlyArray<Orphan>, never, R3>
  readonly forget?: (session: ForgottenSession, kept: string | undefined) => Effect.Effect<void, AgentError, R4>
}): Agent<R1 | Exclude<R2, Scope.Scope> | R3 | R4> => {
  type Made = Agent<R1 | Exclude<R2, Scope.Scope> | R3 | R4>
  return {
    resume: options.resume ?? "restart",
    orphan: options.orphan ?? "reap",
    open: ((session) =>
      Effect.catchTag(options.open(session), "SessionDataError", (cause) =>
        Effect.fail(new AgentError({ reason: "Failed", cause }))
      )) as Made["open"],
    ...(options.models === undefined ? {} : { models: options.models }),
    ...(options.stallTimeout === undefined ? {} : { stallTimeout: options.stallTimeout }),
    ...(options.turnTimeout === undefined ? {} : { turnTimeout: options.turnTimeout }),
    ...(options.orphans === undefined ? {} : { orphans: options.orphans }),
    ...(options.forget === undefined ? {} : { forget: options.forget })
  }
}

/** An agent from a function of the turn's text, for examples and small services. */
export const fromFunction = <E, R>(answer: (turn: Turn) => Effect.Effect<string, E, R>): Agent<R> =>
  make<R>({
    open: () =>
      Effect.succeed({
        answer: (turn) =>
          Stream.fromEffect(answer(turn)).pipe(
            Stream.map(text),
            Stream.mapError((cause) => new AgentError({ reason: "Failed", cause }))
          )
      })
  })
