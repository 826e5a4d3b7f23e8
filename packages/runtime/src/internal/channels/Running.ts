/**
 * The channels that receive. Each runs in a fiber of its own and none waits for
 * another: one that can't receive is tried again with a growing wait and makes the
 * gateway not ready, while all others go on. A server that fails before it was
 * ever ready fails the start, because it has no address that anybody could reach.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { Channel, ChannelError } from "../../Channel.ts"
import { makeHandle, type Pipeline } from "./handle.ts"

interface One {
  readonly channel: Channel
  readonly fiber: Fiber.Fiber<void>
  /** Completes when it was ready once (true) or could not begin (false), or fails with why it never can be. */
  readonly ready: Deferred.Deferred<boolean, ChannelError>
  problem: string | undefined
}

const starting = "is starting"

/** First and longest wait between two tries, and how long a start waits for a channel; milliseconds. */
const waits = { first: 1000, longest: 60_000, start: 10_000 }

/** The receiving channels of one gateway. */
export class Running {
  readonly #pipeline: Pipeline
  readonly #fork: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>
  readonly #running = new Map<string, One>()
  /** Kinds that a stop has ended: a reload that began before it starts none of them any more. */
  readonly #over = new Set<Channel["kind"]>()

  constructor(pipeline: Pipeline, fork: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>) {
    this.#pipeline = pipeline
    this.#fork = fork
  }

  /** What is not as it should be, by channel. */
  problems(): ReadonlyArray<string> {
    return [...this.#running].flatMap(([name, { problem }]) =>
      problem === undefined ? [] : [`channel "${name}": ${problem}`]
    )
  }

  /** Why a channel can't receive now; `undefined` while it is only starting. */
  problem(name: string): string | undefined {
    const problem = this.#running.get(name)?.problem
    return problem === starting ? undefined : problem
  }

  /** A stop has ended the channels of this kind. */
  isOver(kind: Channel["kind"]): boolean {
    return this.#over.has(kind)
  }

  /** Starts a channel and waits until it is ready or can't be yet, at most 10 s; not in a stop. Fails if it is a server that can't start. */
  start(name: string, channel: Channel): Effect.Effect<boolean, ChannelError> {
    return Effect.gen({ self: this }, function* () {
      if (this.isOver(channel.kind)) return false
      const ready = yield* Deferred.make<boolean, ChannelError>()
      const one: One = {
        channel,
        ready,
        problem: starting,
        fiber: this.#fork(this.#receive(name, () => one, waits.first))
      }
      this.#running.set(name, one)
      const wait = Effect.timeoutOption(Deferred.await(ready), waits.start)
      return Option.getOrElse(yield* wait, () => false)
    })
  }

  #receive(name: string, of: () => One, wait: number): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      // Forked before its record exists: the first step gives the record time to.
      yield* Effect.yieldNow
      const one = of()
      const ready = Effect.suspend(() => {
        one.problem = undefined
        return Effect.asVoid(Deferred.succeed(one.ready, true))
      })
      const exit = yield* Effect.exit(Effect.scoped(one.channel.receive(makeHandle(name, this.#pipeline, ready))))
      if (Exit.isSuccess(exit)) return
      const error = Exit.findErrorOption(exit)
      const reason = error._tag === "Some" ? error.value.reason : "died"
      if (one.channel.kind === "server" && error._tag === "Some" && !Deferred.isDoneUnsafe(one.ready)) {
        one.problem = reason
        yield* Deferred.fail(one.ready, error.value)
        return
      }
      // It had been receiving: what ended that is new, and tried again soon.
      const pause = one.problem === undefined ? waits.first : wait
      one.problem = `${reason}; tried again in ${Math.round(pause / 1000)} s`
      // One that is away must not hold up the start of all others.
      yield* Deferred.succeed(one.ready, false)
      yield* Effect.logWarning("A channel can't receive and is tried again", exit.cause).pipe(
        Effect.annotateLogs({ channel: name })
      )
      yield* Effect.sleep(pause)
      return yield* this.#receive(name, of, Math.min(pause * 2, waits.longest))
    })
  }

  /** Ends a channel's receiving and waits until it has let go. */
  stop(name: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const one = this.#running.get(name)
      this.#running.delete(name)
      return one === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(one.fiber))
    })
  }

  /** Ends all channels of a kind for good, beside each other. */
  stopAll(kind: Channel["kind"]): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#over.add(kind)
      return Effect.forEach(
        [...this.#running].filter(([, { channel }]) => channel.kind === kind),
        ([name]) => this.stop(name),
        { concurrency: "unbounded", discard: true }
      )
    })
  }
}
