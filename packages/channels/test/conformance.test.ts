/**
 * The conformance suite of channels, passed four times: HTTP with a client that
 * polls, HTTP with the terminal's client behind a connection that can be cut, a
 * WebSocket that breaks off, and the terminal in the gateway's own process.
 */
import { describe, it } from "@effect/vitest"
import type { Handle } from "@sluice/runtime/Channel"
import { channelConformance, type ChannelSubject, MemoryHandle, type Person, type Told } from "@sluice/runtime/testing"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Terminal from "../src/Terminal.ts"
import { cuttable, serve, token } from "./serve.ts"
import { type Client, dial } from "./sockets.ts"

/** A channel over the suite's handle instead of one of its own. */
const over = Effect.fnUntraced(function* (handle: Handle) {
  const ready = yield* Deferred.make<void>()
  const memory = yield* MemoryHandle.make()
  return {
    ...memory,
    handle: { ...handle, ready: Effect.andThen(handle.ready, Deferred.succeed(ready, undefined)) },
    ready: Deferred.await(ready)
  }
})

/** Repeats an effect in a scope of its own until it is dropped, and again when the person comes back. */
const connection = Effect.fnUntraced(function* (connected: Effect.Effect<unknown, unknown>) {
  const scope = yield* Effect.scope
  let current = yield* Effect.forkIn(connected, scope, { startImmediately: true })
  return {
    drop: Effect.suspend(() => Fiber.interrupt(current)),
    comeBack: Effect.flatMap(Effect.forkIn(connected, scope, { startImmediately: true }), (next) =>
      Effect.sync(() => void (current = next))
    )
  }
})

const polling: ChannelSubject<never> = {
  start: Effect.fnUntraced(function* (handle) {
    const server = yield* Effect.orDie(serve({ memory: yield* over(handle) }))
    const seen = yield* Queue.unbounded<string>()
    let after = 0
    const poll = Effect.gen(function* () {
      while (true) {
        const { body } = yield* server.fetch(`/v1/conversations/kim/replies?after=${after}&wait=30s`)
        for (const { number, text } of body.replies ?? []) {
          yield* Queue.offer(seen, text)
          after = number
        }
      }
    })
    const { comeBack, drop } = yield* connection(poll)
    const send: Person["send"] = Effect.fnUntraced(function* ({ id, text }): Effect.fn.Return<Told> {
      while (true) {
        const { body, status } = yield* server.post("kim", { text }, { key: id })
        if (status === 202) return { _tag: "Accepted", duplicate: body.duplicate === true, held: body.held === true }
        if (status < 500) return { _tag: "Refused", reason: body.detail ?? "" }
      }
    })
    return {
      close: Effect.asVoid(server.close),
      person: { send, drop, comeBack, next: Queue.take(seen) }
    }
  })
}

/** A terminal's screen as a person reads it, and the keys that they press. */
const desk = Effect.fnUntraced(function* () {
  const typed = yield* Queue.unbounded<string>()
  const ids = yield* Queue.unbounded<string>()
  const told = yield* Queue.unbounded<Told>()
  const seen = yield* Queue.unbounded<string>()
  let line = ""
  const screen: Terminal.Screen = {
    // without streaming each answer is one write that ends its line
    write: (text) =>
      Effect.suspend(() => {
        line += text
        if (!line.endsWith("\n")) return Effect.void
        const answer = line.slice(0, -1)
        line = ""
        return Queue.offer(seen, answer)
      }),
    note: (note) =>
      note.startsWith("(not accepted:") ? Queue.offer(told, { _tag: "Refused", reason: note }) : Effect.void,
    accepted: ({ duplicate, held }) => Queue.offer(told, { _tag: "Accepted", duplicate, held })
  }
  const send: Person["send"] = ({ id, text }) =>
    Effect.andThen(Effect.andThen(Queue.offer(ids, id), Queue.offer(typed, text)), Queue.take(told))
  const conversation: Terminal.Conversation = {
    input: Stream.fromQueue(typed),
    nextId: Queue.take(ids),
    screen,
    streaming: false
  }
  return { conversation, send, next: Queue.take(seen) }
})

const chatting: ChannelSubject<never> = {
  start: Effect.fnUntraced(function* (handle) {
    const server = yield* Effect.orDie(serve({ memory: yield* over(handle) }))
    const cable = yield* cuttable(server)
    const { conversation, next, send } = yield* desk()
    yield* Terminal.chat({ ...conversation, url: cable.url, token: Redacted.make(token), conversation: "kim" }).pipe(
      Effect.provide(FetchHttpClient.layer),
      Effect.forkScoped
    )
    return {
      close: Effect.asVoid(server.close),
      person: { send, next, drop: cable.cut, comeBack: cable.mend }
    }
  })
}

/** A client that keeps one number and sends again, under the same id, what it was not told of. */
const socket: ChannelSubject<never> = {
  start: Effect.fnUntraced(function* (handle) {
    const server = yield* Effect.orDie(serve({ memory: yield* over(handle) }))
    const seen = yield* Queue.unbounded<string>()
    const told = yield* Queue.unbounded<Told>()
    let after = 0
    let client: Client | undefined
    let unsettled: { readonly id: string; readonly text: string } | undefined
    const say = Effect.suspend(() =>
      client === undefined || unsettled === undefined
        ? Effect.void
        : client.send({ type: "message", conversation: "kim", ...unsettled })
    )
    const settle = (outcome: Told) => {
      unsettled = undefined
      return Queue.offer(told, outcome)
    }
    const connected = Effect.scoped(
      Effect.gen(function* () {
        const dialled = yield* dial(server)
        client = dialled
        yield* Effect.addFinalizer(() => Effect.sync(() => (client = undefined)))
        yield* dialled.send({ type: "resume", conversation: "kim", after })
        yield* say
        while (true) {
          const frame = yield* dialled.any
          if (frame.type === "reply") {
            after = frame.number
            yield* Queue.offer(seen, frame.text)
          } else if (frame.type === "accepted") {
            yield* settle({ _tag: "Accepted", duplicate: frame.duplicate, held: frame.held === true })
          } else if (frame.type === "error") {
            yield* frame.retryAfter === undefined ? settle({ _tag: "Refused", reason: frame.detail }) : say
          }
        }
      })
    )
    const { comeBack, drop } = yield* connection(connected)
    const send: Person["send"] = (message) =>
      Effect.andThen(
        Effect.suspend(() => {
          unsettled = message
          return say
        }),
        Queue.take(told)
      )
    return { close: Effect.asVoid(server.close), person: { send, drop, comeBack, next: Queue.take(seen) } }
  })
}

const inProcess: ChannelSubject<never> = {
  start: Effect.fnUntraced(function* (handle) {
    const { conversation, next, send } = yield* desk()
    const channel = Terminal.make({ ...conversation, conversation: "kim" })
    const scope = yield* Scope.fork(yield* Effect.scope)
    const { comeBack, drop } = yield* connection(Effect.scoped(channel.receive(handle))).pipe(Scope.provide(scope))
    return { close: drop, person: { send, next, drop, comeBack } }
  })
}

const subjects = {
  "HTTP, polling": polling,
  "HTTP, chatting": chatting,
  "a WebSocket": socket,
  "terminal in the process": inProcess
}

for (const [name, subject] of Object.entries(subjects)) {
  describe(`a channel: ${name}`, () => {
    for (const { name, run } of channelConformance(subject)) it.live(name, () => run)
  })
}
