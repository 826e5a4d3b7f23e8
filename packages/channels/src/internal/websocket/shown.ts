/**
 * A conversation that is shown on a socket: its replies from a number on, and
 * what happens in its turns. A reply is taken from the store when the socket has
 * room for it and, with a window, when enough was acknowledged; so a client that
 * is slow holds one frame here, whatever waits for it in the store.
 */
import type { Reply, Transient } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { peer, type Serving } from "../http/serving.ts"
import { eventFrame, refusalFrame, replyFrame, type ServerFrame } from "./frames.ts"

/** How a conversation is shown. */
export interface Showing {
  readonly conversation: string
  readonly after: number
  readonly window: number | undefined
  readonly events: boolean
  /** Writes a frame as soon as there is room for it. */
  readonly say: (frame: ServerFrame) => Effect.Effect<void>
}

const pageSize = 100

/** A conversation that is shown. */
export class Shown {
  readonly #serving: Serving
  readonly #showing: Showing
  readonly #room = Latch.makeUnsafe(true)
  /** Numbers that were sent and not acknowledged; kept only with a window. */
  #unacknowledged: Array<number> = []
  #sent: number
  #fiber: Fiber.Fiber<void> | undefined

  constructor(serving: Serving, showing: Showing) {
    this.#serving = serving
    this.#showing = showing
    this.#sent = showing.after
  }

  /** The highest number that was sent. */
  get sent(): number {
    return this.#sent
  }

  /** Begins to show. `opening` is said before anything else, once everything listens. */
  begin(opening: ServerFrame): Effect.Effect<void, never, Scope.Scope> {
    const { conversation, events, say } = this.#showing
    const { handle } = this.#serving
    const open = Latch.makeUnsafe(false)
    const replies = handle.replies(peer(conversation), this.#showing.after).pipe(
      Stream.rechunk(1),
      Stream.runForEach((reply) => Effect.andThen(open.await, this.#reply(reply)))
    )
    const happenings = handle
      .progress(peer(conversation))
      .pipe(Stream.runForEach((progress) => Effect.andThen(open.await, say(eventFrame(conversation, progress)))))
    const both = events ? Effect.all([replies, happenings], { concurrency: 2, discard: true }) : replies
    return Effect.gen({ self: this }, function* () {
      this.#fiber = yield* Effect.forkScoped(this.#untilFailure(both, open), { startImmediately: true })
      yield* say(opening)
      open.openUnsafe()
    })
  }

  /** Shows nothing more. */
  end(): Effect.Effect<void> {
    return Effect.suspend(() => (this.#fiber === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(this.#fiber))))
  }

  /** Replies up to this number are safe; `false` when they were not sent yet. */
  acknowledge(number: number): boolean {
    if (number > this.#sent) return false
    this.#unacknowledged = this.#unacknowledged.filter((sent) => sent > number)
    this.#measure()
    return true
  }

  /** What was committed a moment before the end: the last replies of a drain. Nothing beyond a window. */
  rest(): Effect.Effect<void, Transient> {
    const { conversation, window } = this.#showing
    if (window !== undefined) return Effect.void
    const page = Effect.suspend(() =>
      this.#serving.handle.page(peer(conversation), { after: this.#sent, limit: pageSize })
    )
    return Effect.flatMap(page, ({ replies }) =>
      replies.length === 0
        ? Effect.void
        : Effect.andThen(
            Effect.forEach(replies, (reply) => this.#reply(reply), { discard: true }),
            this.rest()
          )
    )
  }

  #reply(reply: Reply): Effect.Effect<void> {
    const { conversation, say } = this.#showing
    const write = Effect.map(say(replyFrame(conversation, reply)), () => {
      this.#sent = reply.number
      if (this.#showing.window === undefined) return
      this.#unacknowledged.push(reply.number)
      this.#measure()
    })
    return Effect.andThen(this.#room.await, write)
  }

  #measure(): void {
    if (this.#unacknowledged.length >= (this.#showing.window ?? Infinity)) this.#room.closeUnsafe()
    else this.#room.openUnsafe()
  }

  /** A store that can't be read is told as what it is: the client resumes where it stood. */
  #untilFailure(both: Effect.Effect<void, Transient>, open: Latch.Latch): Effect.Effect<void> {
    const { conversation, say } = this.#showing
    return Effect.catch(both, (error) => Effect.andThen(open.await, say(refusalFrame(error, { conversation }))))
  }
}
