/**
 * The line between a terminal and a conversation, whichever way it goes: over
 * HTTP to a running gateway, or through a channel's handle in the same process.
 * A message is sent with an id that stays, so sending it again is safe; what is
 * listened to has numbers, so listening again from the last one is complete.
 */
import type { Accepted, Progress, ReplyKind } from "@sluice/runtime/Message"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"

/** A message on its way. */
export interface Outgoing {
  readonly id: string
  readonly text: string
}

/** A file of a reply: what it is called, and its size in bytes. */
export interface IncomingFile {
  readonly hash: string
  readonly name?: string
  readonly size: number
}

/** A reply as a person gets to see it. */
export interface Incoming {
  readonly number: number
  readonly kind: ReplyKind
  readonly text: string
  readonly turn?: string
  /** Name of its session, where the conversation was in another one by then. */
  readonly session?: string
  readonly inReplyTo: ReadonlyArray<string>
  readonly attachments?: ReadonlyArray<IncomingFile>
}

/** What comes over the line. */
export type LineEvent =
  /** Connected; replies above `after` follow. `stopping`: the gateway is on its way out. */
  | { readonly _tag: "Ready"; readonly after: number; readonly stopping: boolean }
  | { readonly _tag: "Reply"; readonly reply: Incoming }
  | { readonly _tag: "Happened"; readonly progress: Progress }
  | { readonly _tag: "Stopping" }

/** It will never be taken as it is. `denied`: neither will anything else with these credentials. */
export class Declined extends Data.TaggedError("Declined")<{ readonly reason: string; readonly denied: boolean }> {
  override get message() {
    return this.reason
  }
}

/** Nobody there, or not now. The same thing can be sent again, after `retryAfter` milliseconds if it says so. */
export class Away extends Data.TaggedError("Away")<{ readonly reason: string; readonly retryAfter?: number }> {
  override get message() {
    return this.reason
  }
}

/** A line to one conversation. */
export interface Line {
  /** Success = on disk. */
  readonly send: (message: Outgoing) => Effect.Effect<Accepted, Declined | Away>
  /** One connection: begins with `Ready`; ends or fails when it is lost. */
  readonly listen: (after: number | "latest") => Stream.Stream<LineEvent, Declined | Away>
  /** Completes when the message has its end, with the highest number among the replies to it, or 0. */
  readonly ended: (message: Outgoing, accepted: Accepted) => Effect.Effect<number, Declined | Away>
}
