/**
 * The messages of one socket on their way to the store: those of a conversation
 * one after the other, so that they are committed in the order in which they were
 * sent, conversations beside each other. So many are under way at most; then
 * nothing more is read from the socket, and its client's writes come to a halt.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"

/** What is under way. */
export class Lanes<A> {
  readonly #most: number
  readonly #scope: Scope.Scope
  readonly #run: (item: A) => Effect.Effect<void>
  readonly #lanes = new Map<string, Array<A>>()
  readonly #room = Latch.makeUnsafe(true)
  /** Open while nothing is under way. */
  readonly idle = Latch.makeUnsafe(true)
  #underWay = 0

  /** At most so many; each is `run` in the scope. */
  constructor(most: number, scope: Scope.Scope, run: (item: A) => Effect.Effect<void>) {
    this.#most = most
    this.#scope = scope
    this.#run = run
  }

  /** Takes one in; completes when there is room for the next. */
  take(key: string, item: A): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.idle.closeUnsafe()
      if (++this.#underWay >= this.#most) this.#room.closeUnsafe()
      const lane = this.#lanes.get(key)
      if (lane !== undefined) {
        lane.push(item)
        return this.#room.await
      }
      const next = [item]
      this.#lanes.set(key, next)
      return Effect.andThen(
        Effect.forkIn(this.#follow(key, next), this.#scope, { startImmediately: true }),
        this.#room.await
      )
    })
  }

  #follow(key: string, lane: Array<A>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const [item] = lane
      if (item === undefined) {
        this.#lanes.delete(key)
        return Effect.void
      }
      return Effect.flatMap(this.#run(item), () => {
        lane.shift()
        if (--this.#underWay < this.#most) this.#room.openUnsafe()
        if (this.#underWay === 0) this.idle.openUnsafe()
        return this.#follow(key, lane)
      })
    })
  }
}
