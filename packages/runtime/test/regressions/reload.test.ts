// What a reload had broken: a post to a channel that it has taken away.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Gateway } from "../../src/Gateway.ts"
import { TestAgent, TestChannel, TestGateway } from "../../src/testing/index.ts"
import { meanwhile } from "../guarantees/boots.ts"

describe("a post to a channel that a reload has taken away", () => {
  it.effect("is held for it, whether it was there from the start or came by a reload", () => {
    const [far, other] = [TestChannel.make({ class: "keyed" }), TestChannel.make({ class: "keyed" })]
    const agents = { main: TestAgent.make().agent }
    return Effect.gen(function* () {
      const gateway = yield* Gateway
      yield* gateway.reload({ agents, channels: { chat: far.channel, other: other.channel } })
      yield* gateway.reload({ agents, channels: {} })
      const post = { id: "p", text: "the alarm" }
      for (const name of ["chat", "other"]) yield* gateway.post(`${name}/kim`, post)
      assert.deepInclude((yield* gateway.audit).posts, { accepted: 2, open: 2 })
      yield* gateway.reload({ agents, channels: { chat: far.channel, other: other.channel } })
      for (const name of ["chat", "other"]) assert.isTrue((yield* gateway.post(`${name}/kim`, post)).duplicate)
      yield* meanwhile(Effect.all([far.requested(1), other.requested(1)]), { step: 0 })
      assert.deepStrictEqual([far.seen("kim"), other.seen("kim")], [["the alarm"], ["the alarm"]])
      // A name that no channel ever had means the host.
      yield* gateway.post("team/kim", post)
      assert.deepInclude((yield* gateway.audit).posts, { accepted: 3, open: 0 })
    }).pipe(Effect.provide(TestGateway.make({ agents, channels: { chat: far.channel }, debounce: { quiet: 0 } })))
  })
})
