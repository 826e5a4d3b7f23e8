/**
 * What a channel is started with: the pipeline as one channel sees it. It adds the
 * channel's name to every conversation, so no channel can reach another's.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Handle, Peer } from "../../Channel.ts"
import type { Intake } from "../../Intake.ts"
import type { JournalError } from "../../Journal.ts"
import { type Conversation, conversationKey, ShuttingDown, Storage, type Transient } from "../../Message.ts"
import type { Outbox } from "../../Outbox.ts"
import type { Sessions } from "../../Sessions.ts"

/** What the handles of one gateway share. */
export interface Pipeline {
  readonly intake: Intake["Service"]
  readonly outbox: Outbox["Service"]
  readonly sessions: Sessions["Service"]
  /** Completes when the gateway begins to stop. */
  readonly stopping: Effect.Effect<void>
}

/** A journal that can't answer now, as a channel is told of it. */
export const transient = (error: JournalError): Transient =>
  error.reason === "Closed" ? new ShuttingDown({ retryAfter: 5000 }) : new Storage({ retryAfter: 5000, cause: error })

const address = (channel: string, peer: Peer): Conversation => ({
  channel,
  account: peer.account ?? "",
  peer: peer.conversation,
  thread: peer.thread ?? ""
})

/** The handle of the channel with this name; `ready` is called once it can receive. */
export const makeHandle = (
  name: string,
  { intake, outbox, sessions, stopping }: Pipeline,
  { ready, trouble }: Pick<Handle, "ready" | "trouble">
): Handle => {
  const key = (peer: Peer) => conversationKey(address(name, peer))
  return {
    name,
    accept: (inbound) => intake.accept(name, inbound),
    post: (peer, post) => intake.post(address(name, peer), post),
    page: (peer, { after, limit }) => Effect.mapError(outbox.page(key(peer), after, limit), transient),
    replies: (peer, after) => Stream.mapError(outbox.replies(key(peer), after), transient),
    ended: intake.ended,
    versions: (peer, id) => intake.versions(key(peer), id),
    progress: (peer) => sessions.watch(key(peer)),
    receiving: (peer) => intake.receiving(key(peer)),
    ready,
    trouble,
    stopping
  }
}
