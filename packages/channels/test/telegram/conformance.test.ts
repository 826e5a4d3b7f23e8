/**
 * The conformance suite of channels for Telegram: in front of a stand-in of the Bot
 * API, with a pump in the place of the outbox. What a person hears of a message is
 * what Telegram hears: that it is acknowledged. What was said about it comes from
 * the handle, as the log has it.
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
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Telegram from "../../src/Telegram.ts"
import { temporaryAttachments } from "../serve.ts"
import { standIn } from "../standIn/telegram.ts"

const chat = 42

/** The suite's conversation `kim` is a chat with a number here; what is said of a message is kept by its id. */
const translated = (
  handle: Handle,
  idOf: (number: string) => string,
  told: (number: string, told: Told) => void
): Handle => ({
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
const pump = (handle: Handle, delivery: Edit<Telegram.Needs>) => {
  const deliver = Effect.fnUntraced(function* (reply: Reply) {
    const { remoteId } = yield* Effect.eventually(delivery.place({ ...reply.conversation, peer: String(chat) }, "…"))
    yield* Effect.eventually(
      delivery.edit(remoteId, { ...reply, conversation: { ...reply.conversation, peer: String(chat) } })
    )
  })
  return Stream.runForEach(handle.replies({ conversation: "kim" }, 0), deliver)
}

const subject: ChannelSubject<Telegram.Needs> = {
  start: Effect.fnUntraced(function* (handle) {
    const server = yield* standIn()
    const told = new Map<string, Told>()
    const channel = Telegram.make({ token: Redacted.make(server.token), apiRoot: server.url, allow: [chat] })
    const ids = new Map<string, number>()
    const idOf = (number: string) => [...ids].find(([, known]) => String(known) === number)?.[0] ?? number
    const messages = translated(handle, idOf, (number, what) => told.set(number, what))
    // As the gateway does: one that can't receive is tried again.
    const receiving = yield* Effect.scoped(channel.receive(messages)).pipe(
      Effect.eventually,
      Effect.forkScoped({ startImmediately: true })
    )
    const pumping = yield* Effect.forkScoped(pump(handle, channel.delivery as Edit<Telegram.Needs>))
    const seen = yield* Queue.unbounded<string>()
    // A person sees a message when its text is there, not its placeholder.
    const looking = Effect.gen(function* () {
      for (let next = 0; ; next++) {
        const text = () => server.texts(chat)[next] ?? "…"
        yield* server.until(() => text() !== "…")
        yield* Queue.offer(seen, text())
      }
    })
    yield* Effect.forkScoped(looking)
    const send: Person["send"] = Effect.fnUntraced(function* ({ id, text }) {
      const number = ids.get(id) ?? ids.size + 1
      ids.set(id, number)
      told.delete(String(number))
      const update = server.say(chat, text, { message_id: number })
      yield* server.confirmed(update)
      return told.get(String(number)) ?? { _tag: "Refused", reason: "nothing was said" }
    })
    return {
      close: Effect.asVoid(Effect.all([Fiber.interrupt(receiving), Fiber.interrupt(pumping)])),
      person: { send, next: Queue.take(seen), drop: server.cut, comeBack: server.mend }
    }
  })
}

describe("a channel: Telegram", () => {
  for (const { name, run } of channelConformance(subject)) {
    it.live(name, () => Effect.provide(run, Layer.merge(NodeHttpClient.layerNodeHttp, temporaryAttachments)))
  }
})
