/**
 * Meets the needs of agents and channels once, where the gateway's layer is built.
 * What a caller provides later (its scope, the turn that it runs in) goes over what
 * was there then, so a session's scope stays the session's.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Agent, AgentError, OpenAgent } from "../Agent.ts"
import type { Channel, Delivery } from "../Channel.ts"

/**
 * Puts services under those of whoever runs something. A stream asks for them at each of its pulls: the answer for the
 * one who asked last is kept.
 */
const below = <R>(context: Context.Context<R>) => {
  let asked: Context.Context<never> | undefined
  let answer = context
  return (current: Context.Context<never>): Context.Context<R> => {
    if (current === asked) return answer
    asked = current
    answer = Context.merge<R, never>(context, current)
    return answer
  }
}

const under =
  <R>(context: Context.Context<R>) =>
  <A, E, R2>(effect: Effect.Effect<A, E, R | R2>): Effect.Effect<A, E, Exclude<R2, R>> =>
    Effect.updateContext(
      effect,
      (current: Context.Context<Exclude<R2, R>>) => Context.merge(context, current) as Context.Context<R | R2>
    )

/** An agent that needs nothing any more. */
export const provideAgent = <R>(agent: Agent<R>, context: Context.Context<R>): Agent => {
  const provide = under(context)
  const { forget, orphans } = agent
  const opened = ({ answer, steer }: OpenAgent<R>): OpenAgent => ({
    answer: (turn) => Stream.updateContext(answer(turn), below(context)),
    ...(steer === undefined ? {} : { steer: (messages) => provide(steer(messages)) })
  })
  return {
    ...(agent as Omit<Agent<never>, "open" | "orphans" | "forget">),
    open: (session) => provide(Effect.map(agent.open(session), opened)) as ReturnType<Agent["open"]>,
    ...(forget === undefined
      ? {}
      : { forget: (session, kept) => provide(forget(session, kept)) as Effect.Effect<never, AgentError> }),
    ...(orphans === undefined ? {} : { orphans: (boot) => provide(orphans(boot)) as Effect.Effect<never> })
  }
}

const provideDelivery = <R>(delivery: Delivery<R>, context: Context.Context<R>): Delivery => {
  const provide = under(context)
  switch (delivery._tag) {
    case "Pull":
      return delivery
    case "Keyed":
    case "Ambiguous":
      return { ...delivery, deliver: (reply) => provide(delivery.deliver(reply)) }
    case "Edit": {
      const { progress } = delivery
      return {
        ...delivery,
        place: (conversation, text) => provide(delivery.place(conversation, text)),
        edit: (remoteId, reply) => provide(delivery.edit(remoteId, reply)),
        ...(progress === undefined
          ? {}
          : { progress: (id, conversation, text) => provide(progress(id, conversation, text)) })
      } as Delivery
    }
  }
}

/** A channel that needs nothing any more. */
export const provideChannel = <R>(channel: Channel<R>, context: Context.Context<R>): Channel => ({
  ...(channel as Omit<Channel<never>, "delivery" | "receive">),
  delivery: provideDelivery(channel.delivery, context),
  receive: (handle) => under(context)(channel.receive(handle)) as ReturnType<Channel["receive"]>
})
