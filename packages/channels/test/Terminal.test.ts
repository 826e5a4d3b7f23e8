/**
 * The terminal's conversation without a terminal: what is typed, interrupted and
 * shown, over a gateway that stops, restarts, refuses and comes back.
 */
import { assert, describe, it } from "@effect/vitest"
import type { MemoryHandle } from "@sluice/runtime/testing"
import { Attachment, type Progress } from "@sluice/runtime/Message"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Terminal from "../src/Terminal.ts"
import { screen } from "./screen.ts"
import { serve, type Server, token } from "./serve.ts"

const sit = Effect.fnUntraced(function* (server: Pick<Server, "url">, options: Partial<Terminal.ChatOptions> = {}) {
  const typed = yield* Queue.unbounded<string, Cause.Done>()
  const keys = yield* Queue.unbounded<void>()
  const shown = yield* screen
  const chat = yield* Terminal.chat({
    url: server.url,
    token: Redacted.make(token),
    conversation: "kim",
    input: Stream.fromQueue(typed),
    interrupts: Stream.fromQueue(keys),
    screen: shown,
    ...options
  }).pipe(Effect.provide(FetchHttpClient.layer), Effect.forkScoped)
  return {
    ...shown,
    farewell: Fiber.join(chat),
    type: (text: string) => Queue.offer(typed, text),
    controlC: Queue.offer(keys, undefined),
    controlD: Queue.end(typed)
  }
})

const turn = { session: "http/kim", turn: "t1" }
const state = (name: "idle" | "processing" | "suspended"): Progress => ({
  _tag: "State",
  session: "http/kim",
  state: { name }
})

const texts = (memory: MemoryHandle.MemoryHandle) => Effect.map(memory.messages, (all) => all.map(({ text }) => text))

describe("chat", () => {
  it.live("W1: shows an answer as it is written, and the stored one only where it says more", () =>
    Effect.gen(function* () {
      const { memory, ...server } = yield* serve()
      const desk = yield* sit(server)
      yield* desk.type("hello")
      yield* memory.message(1)
      yield* memory.watchers(1)
      yield* memory.emit("kim", { _tag: "ToolStarted", ...turn, id: "1", name: "grep" })
      yield* memory.emit("kim", { _tag: "Text", ...turn, delta: "Hello " })
      yield* desk.until("Hello ")
      yield* memory.emit("kim", { _tag: "Text", ...turn, delta: "Kim" })
      yield* desk.until("Kim")
      yield* memory.answer(1, "Hello Kim.\nBye.", "t1")
      yield* desk.until("Bye.\n")
      assert.strictEqual(yield* desk.shown, "[- grep ...]\nHello Kim.\nBye.\n")
    })
  )

  it.live("survives a restart of the gateway: says so, and neither loses nor doubles a line", () =>
    Effect.gen(function* () {
      const first = yield* serve()
      const desk = yield* sit(first, { whereFile: ({ hash }) => `/files/${hash.slice(0, 4)}` })
      yield* desk.type("one")
      yield* first.memory.message(1)
      yield* first.memory.answer(1, "first answer")
      yield* desk.until("first answer")
      yield* first.memory.stop
      yield* desk.until("stopping")
      yield* first.close
      yield* desk.type("two")
      const file = new Attachment({ hash: "0".repeat(64), size: 12_300, type: "text/markdown", name: "x\u202e.md" })
      yield* first.memory.reply("kim", { text: "while nobody listened", attachments: [file] })
      const memory = yield* first.memory.restarted
      yield* serve({ port: first.port, memory })
      yield* memory.message(2)
      yield* memory.answer(2, "second answer")
      yield* desk.until("second answer")
      assert.deepStrictEqual(yield* texts(memory), ["one", "two"])
      const lines = (yield* desk.shown).trimEnd().split("\n")
      const answers = lines.filter((line) => !line.startsWith("["))
      assert.deepStrictEqual(answers, ["first answer", "while nobody listened", "second answer"])
      const notes = lines.filter((line) => line.startsWith("["))
      assert.strictEqual(notes.filter((note) => note.includes("stopping")).length, 1)
      assert.strictEqual(
        notes.filter((note) => note.includes("[file: x\\u{202e}.md, 12 KiB at /files/0000]")).length,
        1
      )
      assert.strictEqual(notes.filter((note) => note.includes("again")).length, 1)
    })
  )

  it.live("S19: a line whose acknowledgement a crash took is sent again under its id", () =>
    Effect.gen(function* () {
      const first = yield* serve()
      const desk = yield* sit(first)
      yield* first.memory.acknowledge.close
      yield* desk.type("hello")
      yield* first.memory.message(1)
      yield* first.close
      const memory = yield* first.memory.restarted
      yield* first.memory.acknowledge.open
      yield* serve({ port: first.port, memory })
      yield* memory.answer(1, "heard")
      yield* desk.until("heard")
      yield* desk.controlD
      assert.deepStrictEqual(yield* desk.farewell, { accepted: 1, refused: 0, unsent: [] })
      assert.deepStrictEqual(yield* texts(memory), ["hello"])
    })
  )

  it.live("what was said before it began is not shown again, unless it is asked for", () =>
    Effect.gen(function* () {
      const { memory, ...server } = yield* serve()
      yield* memory.reply("kim", { text: "long ago" })
      const fresh = yield* sit(server)
      const back = yield* sit(server, { after: 0 })
      yield* memory.readers(2)
      yield* memory.reply("kim", { text: "now" })
      yield* Effect.all([fresh.until("now"), back.until("now")])
      assert.strictEqual(yield* fresh.shown, "now\n")
      assert.strictEqual(yield* back.shown, "long ago\nnow\n")
    })
  )

  it.live("finds a gateway that came back on another port", () =>
    Effect.gen(function* () {
      const first = yield* serve()
      const address = yield* SubscriptionRef.make<string | undefined>(first.url)
      const desk = yield* sit(first, { url: SubscriptionRef.get(address) })
      yield* first.memory.readers(1)
      yield* SubscriptionRef.set(address, undefined)
      yield* first.close
      yield* desk.type("where are you?")
      const memory = yield* first.memory.restarted
      const second = yield* serve({ memory })
      yield* SubscriptionRef.set(address, second.url)
      yield* memory.message(1)
      yield* memory.answer(1, "here")
      yield* desk.until("here")
      assert.deepStrictEqual(yield* texts(memory), ["where are you?"])
    })
  )

  it.live("begins with the opening line once, when there is a connection", () =>
    Effect.gen(function* () {
      const first = yield* serve()
      const desk = yield* sit(first, { opening: "(connected)" })
      yield* desk.until("[(connected)]\n")
      yield* first.close
      const memory = yield* first.memory.restarted
      yield* serve({ port: first.port, memory })
      yield* desk.until("(connected again)")
      assert.strictEqual((yield* desk.shown).split("[(connected)]").length, 2)
    })
  )

  it.live("in a rotation it finds the token that is valid, and goes on when the other one becomes it", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const tokens = yield* SubscriptionRef.make(["a-token-of-tomorrow-4711", token].map((text) => Redacted.make(text)))
      const desk = yield* sit(server, { token: SubscriptionRef.get(tokens) })
      yield* desk.type("hello")
      yield* server.memory.message(1)
      yield* SubscriptionRef.set(tokens, [Redacted.make(token), Redacted.make("a-token-of-yesterday-4711")])
      yield* desk.type("still here")
      yield* server.memory.message(2)
      assert.deepStrictEqual(yield* texts(server.memory), ["hello", "still here"])
    })
  )

  it.live("without a gateway it ends at once and says that nobody is there", () =>
    Effect.gen(function* () {
      const desk = yield* sit({ url: "http://127.0.0.1:9" })
      const error = yield* Effect.flip(desk.farewell)
      assert.strictEqual(error.reason, "Unreachable")
    })
  )

  it.live("W4: with a wrong token it ends and says why, without showing the token", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const desk = yield* sit(server, { token: Redacted.make("not-the-right-token") })
      const error = yield* Effect.flip(desk.farewell)
      assert.strictEqual(error.reason, "Denied")
      assert.include(error.message, "Bearer")
      assert.notInclude(error.message, "not-the-right-token")
    })
  )

  it.live("with a name that no conversation can have it ends and says why, which is not the token", () =>
    Effect.gen(function* () {
      const desk = yield* sit(yield* serve(), { conversation: "a/b" })
      const error = yield* Effect.flip(desk.farewell)
      assert.strictEqual(error.reason, "Refused")
      assert.include(error.message, "leave out slashes")
    })
  )

  it.live("Ctrl-C once stops what runs and goes on, twice in a row leaves", () =>
    Effect.gen(function* () {
      const { memory, ...server } = yield* serve()
      const desk = yield* sit(server)
      yield* desk.type("work")
      yield* memory.message(1)
      yield* desk.controlC
      assert.strictEqual((yield* memory.message(2)).text, "/stop")
      yield* memory.end(1, { ending: "cancelled", why: "stop" })
      yield* desk.type("more")
      yield* memory.message(3)
      // what was typed in between makes the next one a first one again
      yield* desk.controlC
      yield* memory.message(4)
      yield* desk.controlC
      assert.deepInclude(yield* desk.farewell, { unsent: [] })
      assert.deepStrictEqual(yield* texts(memory), ["work", "/stop", "more", "/stop"])
    })
  )

  it.live("Ctrl-C stops a turn that waits for its next try, though nothing runs", () =>
    Effect.gen(function* () {
      const { memory, ...server } = yield* serve()
      const desk = yield* sit(server)
      yield* desk.type("fail")
      yield* memory.message(1)
      yield* memory.watchers(1)
      yield* memory.emit("kim", state("processing"))
      yield* memory.emit("kim", { _tag: "Line", ...turn, text: "seen so far" })
      yield* memory.emit("kim", state("suspended"))
      yield* memory.emit("kim", { _tag: "Line", ...turn, text: "all of it" })
      yield* desk.until("all of it")
      yield* desk.controlC
      assert.strictEqual((yield* memory.message(2)).text, "/stop")
    })
  )

  it.live("Ctrl-C with nothing running sends nothing and says how to leave", () =>
    Effect.gen(function* () {
      const { memory, ...server } = yield* serve()
      const desk = yield* sit(server)
      yield* memory.watchers(1)
      yield* desk.controlC
      yield* desk.until("Ctrl-D leaves")
      yield* desk.controlC
      yield* desk.farewell
      assert.deepStrictEqual(yield* texts(memory), [])
    })
  )

  it.live("Ctrl-D leaves after what was typed last is accepted", () =>
    Effect.gen(function* () {
      const { memory, ...server } = yield* serve()
      const desk = yield* sit(server)
      yield* desk.type("last words")
      yield* desk.controlD
      assert.deepStrictEqual(yield* desk.farewell, { accepted: 1, refused: 0, unsent: [] })
      assert.deepStrictEqual(yield* texts(memory), ["last words"])
    })
  )

  it.live("who leaves while the gateway is away is told what was not sent", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const desk = yield* sit(server)
      yield* server.memory.readers(1)
      yield* server.close
      yield* desk.until("connection lost")
      yield* desk.type("into the void")
      yield* desk.controlC
      yield* desk.controlC
      assert.deepInclude(yield* desk.farewell, { accepted: 0, unsent: ["into the void"] })
      assert.include(yield* desk.shown, "not sent: into the void")
    })
  )

  it.live("Q19: a permission request is shown once, as it is stored, and a number is sent as the option", () =>
    Effect.gen(function* () {
      const { memory, ...server } = yield* serve()
      const desk = yield* sit(server)
      yield* memory.watchers(1)
      const options = ["Allow once", "Deny"]
      yield* memory.emit("kim", { _tag: "Permission", ...turn, number: 1, question: "Run rm -r build?", options })
      yield* memory.reply("kim", { text: "Run rm -r build?\n1. Allow once\n2. Deny", kind: "notice" })
      yield* desk.until("2. Deny\n")
      // events come in their order: this one is shown after the question was heard
      yield* memory.emit("kim", { _tag: "Line", ...turn, text: "waiting" })
      yield* desk.until("[waiting]")
      assert.strictEqual(yield* desk.shown, "Run rm -r build?\n1. Allow once\n2. Deny\n[waiting]\n")
      yield* desk.type("1")
      assert.strictEqual((yield* memory.message(1)).text, "Allow once")
      yield* desk.type("1")
      assert.strictEqual((yield* memory.message(2)).text, "1")
    })
  )

  it.live("input that ends is answered to its end: `echo hi | sluice chat`", () =>
    Effect.gen(function* () {
      const { memory, ...server } = yield* serve()
      const desk = yield* sit(server, {
        input: Stream.fromIterable(["hi", "ho"]),
        whenInputEnds: "wait",
        streaming: false
      })
      yield* memory.message(2)
      yield* memory.emit("kim", state("processing"))
      yield* memory.emit("kim", { _tag: "Text", ...turn, delta: "half of an ans" })
      yield* memory.answer(1, "answer one")
      yield* memory.answer(2, "answer two")
      assert.deepStrictEqual(yield* desk.farewell, { accepted: 2, refused: 0, unsent: [] })
      assert.strictEqual(yield* desk.shown, "answer one\nanswer two\n")
    })
  )

  it.live("input of one line is answered before it leaves", () =>
    Effect.gen(function* () {
      const { memory, ...server } = yield* serve()
      const desk = yield* sit(server, { input: Stream.succeed("hi"), whenInputEnds: "wait", streaming: false })
      yield* memory.message(1)
      yield* memory.answer(1, "the answer")
      yield* desk.farewell
      assert.strictEqual(yield* desk.shown, "the answer\n")
    })
  )

  it.live("input that ends waits over a restart too, and for messages that end without a reply", () =>
    Effect.gen(function* () {
      const first = yield* serve()
      const desk = yield* sit(first, {
        input: Stream.fromIterable(["hi", "ho"]),
        whenInputEnds: "wait",
        streaming: false
      })
      yield* first.memory.message(2)
      yield* first.close
      const memory = yield* first.memory.restarted
      yield* serve({ port: first.port, memory })
      yield* memory.answer(1, "answer one")
      yield* memory.end(2, { ending: "cancelled", why: "stop" })
      yield* desk.farewell
      assert.include(yield* desk.shown, "answer one\n")
    })
  )
})
