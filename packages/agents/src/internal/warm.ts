/**
 * A process that is kept between the turns of a session: started when a turn needs
 * it, and again when it has ended by itself. What a process leaves behind that ends
 * between turns goes at once; one that ends within a turn is that turn's to end.
 */
import type * as Agent from "@sluice/runtime/Agent"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** A process with its conversation. */
export interface Live<in out E> {
  /** `gone` fails when the process has ended or can't be used any more. */
  readonly connection: { readonly gone: Deferred.Deferred<never, E> }
  /** Ends the process; whoever comes later waits for the first. */
  readonly end: Effect.Effect<void>
}

/** The process of a session. */
export interface Warm<out L> {
  /** The one that runs, or another one. */
  readonly ready: Effect.Effect<L, Agent.AgentError>
  /** The one that runs, as far as is known. */
  readonly live: () => L | undefined
  /** Ends this one; the next turn starts another. */
  readonly end: (one: { readonly end: Effect.Effect<void> }) => Effect.Effect<void>
}

/** See the header. `isBusy` says whether a turn runs. */
export const keep = <E, L extends Live<E>>(options: {
  readonly session: string
  readonly scope: Scope.Scope
  readonly start: Effect.Effect<L, Agent.AgentError>
  readonly isBusy: () => boolean
}): Warm<L> => {
  let live: L | undefined

  const watch = (one: L) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Deferred.await(one.connection.gone))
      // A turn that runs hears of it itself, and ends it when it lets go.
      if (live !== one || options.isBusy()) return
      yield* Effect.logWarning("An agent ended between turns", error).pipe(
        Effect.annotateLogs({ session: options.session })
      )
      yield* one.end
    })

  return {
    live: () => live,
    ready: Effect.gen(function* () {
      if (live !== undefined && !(yield* Deferred.isDone(live.connection.gone))) return live
      if (live !== undefined) yield* live.end
      live = undefined
      // Known in the step in which it is ready: one that a cut made nobody's would be a second owner of its conversation.
      const one = yield* Effect.uninterruptibleMask((restore) =>
        Effect.tap(restore(options.start), (one) => Effect.sync(() => void (live = one)))
      )
      yield* Effect.forkIn(watch(one), options.scope)
      return one
    }),
    end: (one) =>
      Effect.suspend(() => {
        if (live === one) live = undefined
        return one.end
      })
  }
}

/** The turn that a process runs. */
export interface Current<in out R> {
  readonly now: () => R | undefined
  readonly begin: (turn: R) => void
  readonly end: () => void
  /** Does something with it; a turn whose process is still being started is waited for. */
  readonly use: (use: (turn: R) => Effect.Effect<void>) => Effect.Effect<void>
}

/** No turn, so far. */
export const current = <R>(): Current<R> => {
  let running: R | undefined
  const began = Latch.makeUnsafe(false)
  return {
    now: () => running,
    begin: (turn) => {
      running = turn
      began.openUnsafe()
    },
    end: () => {
      running = undefined
      began.closeUnsafe()
    },
    use: (use) => Effect.flatMap(began.await, () => (running === undefined ? Effect.void : use(running)))
  }
}

const alive: Agent.AgentEvent = { _tag: "Alive" }

/** How often an agent that is being started is said to be alive, in milliseconds. Its start has a bound of its own. */
const beat = 1000

/** Starts something beside the stream: signs of life until it is done, then what follows from it. */
export const beating = <A>(
  effect: Effect.Effect<A, Agent.AgentError>,
  then: (value: A) => Stream.Stream<Agent.AgentEvent, Agent.AgentError>
): Stream.Stream<Agent.AgentEvent, Agent.AgentError> =>
  Stream.unwrap(
    Effect.map(Effect.forkScoped(effect), (starting) =>
      Stream.concat(
        Stream.unfold(undefined, () =>
          Effect.map(Effect.timeoutOption(Fiber.join(starting), beat), (one) =>
            Option.isSome(one) ? undefined : ([alive, undefined] as const)
          )
        ),
        Stream.unwrap(Effect.map(Fiber.join(starting), then))
      )
    )
  )
