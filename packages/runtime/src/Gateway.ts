/**
 * The pipeline as one layer, and its options. Data goes from the channels to the
 * sink and back; the layers are built from the sink to the source and therefore
 * released from the source to the sink. Nothing else composes.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Agent from "./Agent.ts"
import type * as Channel from "./Channel.ts"
import { Commands } from "./Commands.ts"
import { Intake } from "./Intake.ts"
import { burstsLayer } from "./internal/bursts.ts"
import type { ChannelState } from "./internal/channels/states.ts"
import { forgettingLayer, type ForgetReport } from "./internal/forgetting.ts"
import { provideRegistry } from "./internal/gateway/registry.ts"
import { makeGateway } from "./internal/gateway/make.ts"
import type { GatewayError, GatewayOptions, Readiness, Registry } from "./internal/gateway/options.ts"
import { resolve } from "./internal/gateway/resolve.ts"
import { Registered } from "./internal/registry.ts"
import type { Transcript } from "./internal/transcript.ts"
import type { SpendingState } from "./internal/session/Spending.ts"
import type {
  DeadLetter,
  Figures,
  Journal,
  JournalError,
  Ledger,
  SessionSummary,
  Uncounted,
  UncountedQuestion,
  UsageQuestion,
  UsageSum
} from "./Journal.ts"
import type { Accepted, AcceptError, Inbound, Progress, Reply, Transient } from "./Message.ts"
import { Outbox } from "./Outbox.ts"
import { Recovery } from "./Recovery.ts"
import type { SessionValues } from "./SessionData.ts"
import { type LiveSession, Sessions } from "./Sessions.ts"
import { drainBefore, type Report, type StopRequest } from "./Shutdown.ts"

export type { ChannelState } from "./internal/channels/states.ts"
export type { ForgetReport } from "./internal/forgetting.ts"
export type { Transcript } from "./internal/transcript.ts"
export type { Persona } from "./internal/registry.ts"
export type { LiveSession } from "./Sessions.ts"

export type { Hold, SpendingState } from "./internal/session/Spending.ts"
export type { Budgets, Price, SpendingOptions } from "./internal/spending.ts"

export { GatewayError } from "./internal/gateway/options.ts"
export type { GatewayOptions, Readiness, Registry } from "./internal/gateway/options.ts"

/** A command as somebody gives it: `text` is what a person would write, such as `/model opus`. */
export interface CommandMessage {
  /** Makes it the same one when it is given again. Where the platform gives messages their ids it is apart from those, and has at most 248 characters. */
  readonly id?: string
  readonly sender: string
  readonly text: string
}

/** The running gateway. */
export class Gateway extends Context.Service<
  Gateway,
  {
    /** Stores a message of the host's own (channel `host`); success = committed. */
    readonly accept: (inbound: Inbound) => Effect.Effect<Accepted, AcceptError>
    /** Stores an outbound message without a turn, idempotent by `id`. `conversation` is a key such as `http/kim`. */
    readonly post: (
      conversation: string,
      post: { readonly id?: string; readonly text: string }
    ) => Effect.Effect<Accepted, AcceptError>
    /**
     * Stores a command for a conversation of any channel, by its key; it runs, and answers in that conversation, as if it
     * had been written there. `undefined` when there is no such conversation.
     */
    readonly command: (
      conversation: string,
      command: CommandMessage
    ) => Effect.Effect<Accepted | undefined, AcceptError>
    /** Replies of a conversation above a number: stored ones, then each as it comes. A bare name means a conversation of the host. */
    readonly replies: (conversation: string, after?: number) => Stream.Stream<Reply, Transient>
    /** What its sessions are doing, where one is doing something, then what happens in its running turns from now on. */
    readonly progress: (conversation: string) => Stream.Stream<Progress>
    /**
     * The typed values of a conversation's session, by its name (`main`). A conversation begins with the first value that
     * it is given; a named session has to be there.
     */
    readonly data: (conversation: string, session?: string) => SessionValues
    /** Sessions as the journal has them, by last activity. */
    readonly sessions: Effect.Effect<
      ReadonlyArray<SessionSummary & { readonly live: LiveSession | undefined }>,
      JournalError
    >
    /** The same of one conversation; none where there is no such conversation. */
    readonly sessionsOf: (
      conversation: string
    ) => Effect.Effect<ReadonlyArray<SessionSummary & { readonly live: LiveSession | undefined }>, JournalError>
    /** The sessions in memory and what each waits for. Never waits. */
    readonly live: Effect.Effect<ReadonlyArray<LiveSession>>
    /** The ledger; it must balance. */
    readonly audit: Effect.Effect<Ledger, JournalError>
    readonly figures: Effect.Effect<Figures, JournalError>
    /** Sums of what turns used, by day, session, agent or model. */
    readonly usage: (question: UsageQuestion) => Effect.Effect<ReadonlyArray<UsageSum>, JournalError>
    /** Answered turns that are in none of these sums, because their agent did not say what they used. */
    readonly uncounted: (question: UncountedQuestion) => Effect.Effect<Uncounted, JournalError>
    /** What was spent today and this month, the budgets, and whether turns are held because one is used up. Never waits. */
    readonly spending: Effect.Effect<SpendingState>
    readonly readiness: Effect.Effect<Readiness>
    readonly channels: {
      /** How each of them is. */
      readonly list: Effect.Effect<ReadonlyArray<ChannelState>>
      /**
       * Ends a channel's receiving and holds its replies, until it is started, a reload exchanges it, or the gateway starts
       * again. Nothing is lost: what its platform keeps stays there, what is stored stays stored.
       */
      readonly stop: (name: string) => Effect.Effect<ChannelState, GatewayError>
      /** Starts one that was stopped; waits at most 10 s until it receives. */
      readonly start: (name: string) => Effect.Effect<ChannelState, GatewayError>
    }
    readonly deadLetters: {
      readonly list: Effect.Effect<ReadonlyArray<DeadLetter>, JournalError>
      /** `false` when there is no such dead letter. */
      readonly replay: (reply: number) => Effect.Effect<boolean, JournalError>
      readonly discard: (reply: number) => Effect.Effect<boolean, JournalError>
    }
    /**
     * Forgets a conversation: cancels its work and deletes texts, files, values and what its agents have stored, from the
     * files of the store, too. `undefined` when there is no such conversation.
     */
    readonly forget: (conversation: string) => Effect.Effect<ForgetReport | undefined, JournalError>
    /**
     * What was said in a session, as Markdown; without a name in the current one. `undefined` when there is no such
     * session. A name of a file goes with it.
     */
    readonly transcript: (conversation: string, session?: string) => Effect.Effect<Transcript | undefined, JournalError>
    /** Exchanges agents, personas and channels as section Reload of docs/operations.md says. */
    readonly reload: (registry: Registry) => Effect.Effect<ReadonlyArray<string>, GatewayError>
    /** Ends the pause of automatic resume after a chain of unclean boots. */
    readonly resume: Effect.Effect<void, JournalError>
    /** Runs the shutdown program once; later callers join it. Returns its report. */
    readonly stop: (request: StopRequest) => Effect.Effect<Report>
    /** The report of the stop, whenever it comes. */
    readonly stopped: Effect.Effect<Report>
    /** Completes when the conversation owes nothing: no message, turn or reply is open that could go on now. For tests. */
    readonly settled: (conversation: string) => Effect.Effect<void>
    /** Facts of this boot: epoch, instance, one line about the last stop. */
    readonly boot: { readonly epoch: number; readonly instance: string; readonly postMortem: string }
  }
>()("@sluice/runtime/Gateway") {
  /**
   * The pipeline over a journal. What agents and channels need is needed of the
   * layer's user; both are arguments, so recovery can't begin before they exist.
   */
  static readonly layer = <const O extends GatewayOptions<unknown>>(
    options: O
  ): Layer.Layer<Gateway, GatewayError | JournalError, Journal | Exclude<NeedsOf<O>, Scope.Scope>> => {
    const choices = resolve(options)
    // Built from the sink to the source, released from the source to the sink.
    const pipeline = Recovery.layer.pipe(
      Layer.provideMerge(Intake.layer(choices.intake)),
      Layer.provideMerge(Commands.layer),
      Layer.provideMerge(forgettingLayer),
      Layer.provideMerge(burstsLayer(choices.bursts)),
      Layer.provideMerge(Sessions.layer(choices.sessions)),
      Layer.provideMerge(Outbox.layer(choices.outbox)),
      Layer.provideMerge(Layer.effect(Registered, provideRegistry(options)))
    )
    return Layer.effect(Gateway, makeGateway(options)).pipe(Layer.provide(pipeline)) as Layer.Layer<
      Gateway,
      GatewayError | JournalError,
      Journal | Exclude<NeedsOf<O>, Scope.Scope>
    >
  }

  /** A host's server, wrapped so that the shutdown program runs while the server still answers. */
  static readonly drainBefore = <A, E, R>(server: Layer.Layer<A, E, R>): Layer.Layer<A, E, R | Gateway> =>
    drainBefore(
      server,
      Gateway.use((gateway) => gateway.stop({ reason: "stop", by: "end of the host" }))
    )
}

/** What the agents and channels of these options still need. */
export type NeedsOf<O extends Registry<unknown>> =
  | Agent.Needs<O["agents"][keyof O["agents"]]>
  | (O["channels"] extends infer C
      ? C extends { readonly [name: string]: Channel.AnyChannel }
        ? Channel.Needs<C[keyof C]>
        : never
      : never)
