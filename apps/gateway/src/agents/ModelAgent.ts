/**
 * A model as an agent of this program, over the program's own HTTP client. It has no
 * helpers that a crash could leave behind, and keeps nothing that it could forget.
 */
import * as Model from "@sluice/agents/Model"
import type * as Agent from "@sluice/runtime/Agent"
import type { Turn } from "@sluice/runtime/Message"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { client } from "../OutgoingHttp.ts"

/** Makes the agent. */
export const make = Effect.fnUntraced(function* (options: Model.Options) {
  const context = yield* client
  // What its server keeps is not in its hands, so it has nothing to forget.
  const { forget: _, ...agent } = Model.make(options)
  const provided: Agent.Agent = {
    ...agent,
    open: (session) =>
      agent.open(session).pipe(
        Effect.map(({ answer }) => ({ answer: (turn: Turn) => Stream.provideContext(answer(turn), context) })),
        Effect.provideContext(context)
      ),
    orphans: () => Effect.succeed([])
  }
  return provided
})

/** Whether its server is there and knows it: a sentence, or what is wrong. */
export const reach = (options: Model.Options, within?: Duration.Input) =>
  Effect.flatMap(client, (context) => Effect.provideContext(Model.reach(options, within), context))
