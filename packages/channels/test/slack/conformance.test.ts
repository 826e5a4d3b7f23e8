/**
 * The conformance suite of channels for Slack: in front of a stand-in of its APIs,
 * with a pump in the place of the outbox. What a person hears of a message is what
 * Slack hears: that it is acknowledged. What was said about it comes from the handle,
 * as the log has it.
 *
 * Scenarios: C1, C2, C5, D8, D9, D22, S6, S13
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, it } from "@effect/vitest"
import type { Edit, Handle } from "@sluice/runtime/Channel"
import type { Inbound, Reply } from "@sluice/runtime/Message"
import { channelConformance, type ChannelSubject, type Person, type Told } from "@sluice/runtime/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as Slack from "../../src/Slack.ts"
import { temporaryAttachments } from "../serve.ts"
import { connect, dm, optionsOf, standIn } from "./world.ts"

/** The suite's conversation `kim` is a channel with an id here; what is said of a message is kept by its id. */
const translated = (handle: Handle, idOf: (ts: string) => string, told: (ts: string, told: Told) => void): Handle => ({
  ...handle,
  accept: (inbound: Inbound) =>
    handle.accept({ ...inbound, conversation: "kim", id: idOf(inbound.id ?? "") }).pipe(
      Effect.tap(({ duplicate, held }) =>
        Effect.sync(() => told(inbound.id ?? "", { _tag: "Accepted", duplicate, held: held ?? false }))
      ),
      Effect.tapError((error) => Effect.sync(() => told(inbound.id ?? "", { _tag: "Refused", reason: error.message })))
    )
})

/** What the outbox does, without a store: each reply is placed, then edited in, and tried again until it is. */
const pump = (handle: Handle, delivery: Edit<Slack.Needs>) => {
  const deliver = Effect.fnUntraced(function* (reply: Reply) {
    const conversation = { ...reply.conversation, peer: dm }
    const { remoteId } = yield* Effect.eventually(delivery.place(conversation, "…"))
    yield* Effect.eventually(delivery.edit(remoteId, { ...reply, conversation }))
  })
  return Stream.runForEach(handle.replies({ conversation: "kim" }, 0), deliver)
}

const subject: ChannelSubject<Slack.Needs> = {
  start: Effect.fnUntraced(function* (handle) {
    const server = yield* standIn()
    const told = new Map<string, Told>()
    const channel = Slack.make(optionsOf(server))
    const ids = new Map<string, string>()
    const idOf = (ts: string) => [...ids].find(([, known]) => known === ts)?.[0] ?? ts
    const messages = translated(handle, idOf, (ts, what) => told.set(ts, what))
    // As the gateway does: one that can't receive is tried again.
    const receiving = yield* Effect.scoped(channel.receive(messages)).pipe(
      Effect.eventually,
      Effect.forkScoped({ startImmediately: true })
    )
    yield* connect(server, channel)
    const pumping = yield* Effect.forkScoped(pump(handle, channel.delivery as Edit<Slack.Needs>))
    const seen = yield* Queue.unbounded<string>()
    // A person sees a message when its text is there, not its placeholder.
    const looking = Effect.gen(function* () {
      for (let next = 0; ; next++) {
        const text = () => server.texts(dm)[next] ?? "…"
        yield* server.until(() => text() !== "…")
        yield* Queue.offer(seen, text())
      }
    })
    yield* Effect.forkScoped(looking)
    const send: Person["send"] = Effect.fnUntraced(function* ({ id, text }) {
      const ts = ids.get(id) ?? `1700000001.00000${ids.size}`
      ids.set(id, ts)
      told.delete(ts)
      server.say(dm, text, { ts })
      yield* server.confirmed(ts)
      return told.get(ts) ?? { _tag: "Refused", reason: "nothing was said" }
    })
    return {
      close: Effect.asVoid(Effect.all([Fiber.interrupt(receiving), Fiber.interrupt(pumping)])),
      person: { send, next: Queue.take(seen), drop: server.cut, comeBack: server.mend }
    }
  })
}

describe("a channel: Slack", () => {
  for (const { name, run } of channelConformance(subject)) {
    it.live(name, () => Effect.provide(run, Layer.merge(NodeHttpClient.layerNodeHttp, temporaryAttachments)))
  }
})
