/**
 * Who watches what happens in a conversation right now. Events go to those who
 * are there and are gone: nothing here is stored, and a watcher that does not
 * keep up loses the oldest events, never the stream.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { Progress } from "../../Message.ts"

/** How many events wait for a watcher before the oldest fall. */
const kept = 256

/** The watchers of one gateway, by conversation key. */
export class Watchers {
  readonly #queues = new Map<string, Set<Queue.Queue<Progress>>>()

  /** Whether an event for the conversation would reach anybody. */
  has(conversation: string) {
    return this.#queues.has(conversation)
  }

  /** Tells those who watch the conversation. */
  tell(conversation: string, event: Progress) {
    const queues = this.#queues.get(conversation)
    if (queues !== undefined) for (const queue of queues) Queue.offerUnsafe(queue, event)
  }

  /** What is so at this moment, then events from now on; ends with its consumer. */
  watch(conversation: string, now: () => Iterable<Progress>): Stream.Stream<Progress> {
    return Stream.unwrap(
      Effect.map(
        Effect.acquireRelease(
          Effect.map(Queue.sliding<Progress>(kept), (queue) => {
            const queues = this.#queues.get(conversation) ?? new Set()
            this.#queues.set(conversation, queues.add(queue))
            for (const event of now()) Queue.offerUnsafe(queue, event)
            return queue
          }),
          (queue) =>
            Effect.suspend(() => {
              const queues = this.#queues.get(conversation)
              queues?.delete(queue)
              if (queues?.size === 0) this.#queues.delete(conversation)
              return Queue.shutdown(queue)
            })
        ),
        Stream.fromQueue
      )
    )
  }
}
