// Channels that edit: each row is placed and then edited in, a running turn owns its placeholder over all its attempts,
// what it shows meanwhile is throttled and never comes after its answer.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as TestChannel from "../../src/testing/channels.ts"
import { addressOf, boot, storeFile } from "../outboxHarness.ts"

const kim = addressOf("chat", "kim")

const started = Effect.fnUntraced(function* (chat: TestChannel.TestChannel, file?: string) {
  const made = yield* boot({ file: file ?? (yield* storeFile), channels: { chat: chat.channel } })
  yield* made.outbox.recover
  return made
})

/** An attempt of a turn that has begun; `over` ends it. */
const begun = Effect.fnUntraced(function* (
  made: Effect.Success<ReturnType<typeof started>>,
  turn: { readonly id: number; readonly conversation: number }
) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  yield* Scope.provide(made.outbox.begin(turn.id, { conversation: turn.conversation, address: kim }), scope)
  return { over: Scope.close(scope, Exit.void) }
})

const kinds = (chat: TestChannel.TestChannel) => chat.requests.map((request) => `${request.kind} ${request.text}`)

describe("a placeholder", () => {
  it.effect("stands where the answer will be, shows the text as it grows, and becomes the answer", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const made = yield* started(chat)
      const turn = yield* made.turn("chat", "kim")
      const attempt = yield* begun(made, turn)
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["…"])
      yield* made.outbox.progress(turn.id, "The")
      yield* made.settled("chat", "kim")
      yield* made.outbox.progress(turn.id, "The ans")
      yield* made.outbox.progress(turn.id, "The answer")
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["The"])
      yield* TestClock.adjust("1 second")
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["The answer"])
      yield* TestClock.adjust("10 seconds")
      assert.lengthOf(chat.requests, 3)
      yield* made.outbox.progress(turn.id, "The answer is")
      yield* made.answer(turn, kim, "The answer is 42.")
      yield* attempt.over
      yield* made.settled("chat", "kim")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(kinds(chat), ["place …", "progress The", "progress The answer", "edit The answer is 42."])
    })
  )

  it.effect("the final edit waits for the id of a placeholder that is still being placed", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const made = yield* started(chat)
      const gate = yield* Deferred.make<void>()
      chat.fatesOf("place", { gate })
      const turn = yield* made.turn("chat", "kim")
      const attempt = yield* begun(made, turn)
      yield* chat.requested(1)
      yield* made.outbox.progress(turn.id, "too early")
      yield* made.answer(turn, kim, "done")
      yield* attempt.over
      yield* Deferred.succeed(gate, undefined)
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(kinds(chat), ["place …", "edit done"])
      assert.deepStrictEqual(chat.seen("kim"), ["done"])
    })
  )

  it.effect("is placed again when its request had no answer, and takes the first part of a long answer", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit", split: (text) => text.split("|") })
      const made = yield* started(chat)
      chat.fatesOf("place", "lose")
      const turn = yield* made.turn("chat", "kim")
      const attempt = yield* begun(made, turn)
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), [])
      yield* TestClock.adjust("2 seconds")
      yield* made.settled("chat", "kim")
      yield* made.answer(turn, kim, "one|two|three")
      yield* attempt.over
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["one", "two", "three"])
      assert.strictEqual((yield* made.outbox.deliveries).pending, 0)
    })
  )

  it.effect("whose wait is over leaves no timer behind", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const made = yield* started(chat)
      chat.fatesOf("place", "drop")
      const turn = yield* made.turn("chat", "kim")
      yield* begun(made, turn)
      yield* made.settled("chat", "kim")
      // A timer that fires again and again keeps the clock from coming to rest, which it warns of.
      yield* TestClock.adjust("2 seconds")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(chat.seen("kim"), ["…"])
    }).pipe(
      Effect.provide(Logger.layer([Logger.make(({ message }) => assert.notInclude(String(message), "still running"))]))
    )
  )

  it.effect("that is refused is given up; the answer is tried on its own", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const made = yield* started(chat)
      chat.fatesOf("place", "refuse")
      const turn = yield* made.turn("chat", "kim")
      const attempt = yield* begun(made, turn)
      yield* made.settled("chat", "kim")
      yield* TestClock.adjust("1 hour")
      assert.lengthOf(chat.requests, 1)
      yield* made.answer(turn, kim, "here")
      yield* attempt.over
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["here"])
      assert.strictEqual((yield* made.outbox.deliveries).dead, 0)
    })
  )

  it.effect("of a turn that ended without a reply says so", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const made = yield* started(chat)
      const turn = yield* made.turn("chat", "kim")
      const attempt = yield* begun(made, turn)
      yield* made.settled("chat", "kim")
      yield* made.answer(turn, kim)
      yield* attempt.over
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["(Ended without an answer.)"])
    })
  )

  it.effect("C6: is found again by a later attempt, also after a crash", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const file = yield* storeFile
      const first = yield* started(chat, file)
      const turn = yield* first.turn("chat", "kim")
      const attempt = yield* begun(first, turn)
      yield* first.settled("chat", "kim")
      yield* attempt.over
      const again = yield* begun(first, turn)
      yield* first.settled("chat", "kim")
      assert.lengthOf(chat.requests, 1)
      yield* again.over
      yield* first.close
      const second = yield* started(chat, file)
      const claimed = yield* second.journal.resume(turn.id)
      yield* begun(second, turn)
      yield* second.settled("chat", "kim")
      yield* second.outbox.progress(turn.id, "again")
      yield* second.settled("chat", "kim")
      yield* second.answer({ id: turn.id, attempt: claimed?.turn.attempt ?? 0 }, kim, "done")
      yield* second.settled("chat", "kim")
      assert.deepStrictEqual(kinds(chat), ["place …", "progress again", "edit done"])
    })
  )

  it.effect("C6: that was being placed when the process died is placed again before the answer is there", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const file = yield* storeFile
      const dead = yield* started(chat, file)
      const turn = yield* dead.turn("chat", "kim")
      chat.fatesOf("place", "hang")
      yield* begun(dead, turn)
      yield* chat.requested(1)
      // Left lying: the next boot's epoch fences it off.
      const made = yield* started(chat, file)
      yield* made.journal.resume(turn.id)
      yield* begun(made, turn)
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(kinds(chat), ["place …", "place …"])
      yield* made.answer({ id: turn.id, attempt: 2 }, kim, "done")
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["…", "done"])
    })
  )

  it.effect("comes after what the conversation is owed already, and its answer before what came later", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const made = yield* started(chat)
      const gates = [yield* Deferred.make<void>(), yield* Deferred.make<void>()] as const
      chat.fatesOf("edit", { gate: gates[0] }, "answer", { gate: gates[1] })
      yield* made.post("chat", "kim", "first")
      yield* made.post("chat", "kim", "second")
      yield* chat.requested(1, "edit")
      const turn = yield* made.turn("chat", "kim")
      yield* begun(made, turn)
      yield* Deferred.succeed(gates[0], undefined)
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["first", "second", "…"])
      yield* made.post("chat", "kim", "third")
      yield* chat.requested(3, "edit")
      yield* made.post("chat", "kim", "fourth")
      yield* made.answer(turn, kim, "answer")
      yield* Deferred.succeed(gates[1], undefined)
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(
        chat.requests.filter((request) => request.kind === "edit").map((request) => request.text),
        ["first", "second", "third", "answer", "fourth"]
      )
    })
  )

  it.effect("shows its text no more often because something else is sent in between", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const made = yield* started(chat)
      const turn = yield* made.turn("chat", "kim")
      yield* begun(made, turn)
      yield* made.settled("chat", "kim")
      yield* made.outbox.progress(turn.id, "a")
      yield* made.settled("chat", "kim")
      yield* made.outbox.progress(turn.id, "ab")
      yield* made.post("chat", "kim", "news")
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["a", "news"])
      yield* TestClock.adjust("1 second")
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["ab", "news"])
    })
  )

  it.effect("of one conversation don't stop each other: two turns of two sessions have one each", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const made = yield* started(chat)
      const [a, b] = [yield* made.turn("chat", "kim"), yield* made.turn("chat", "lee")]
      const lee = addressOf("chat", "lee")
      yield* made.outbox.begin(a.id, { conversation: a.conversation, address: kim })
      yield* made.outbox.begin(b.id, { conversation: b.conversation, address: lee })
      yield* made.outbox.progress(b.id, "for lee")
      yield* made.settled("chat", "kim")
      yield* made.settled("chat", "lee")
      assert.deepStrictEqual([chat.seen("kim"), chat.seen("lee")], [["…"], ["for lee"]])
    })
  )

  it.effect("Q20: what is shown stops with the attempt, on every way out", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const made = yield* started(chat)
      const turn = yield* made.turn("chat", "kim")
      const attempt = yield* begun(made, turn)
      yield* made.settled("chat", "kim")
      yield* made.outbox.progress(turn.id, "shown")
      yield* made.settled("chat", "kim")
      yield* made.outbox.progress(turn.id, "waits for its second")
      yield* attempt.over
      yield* made.outbox.progress(turn.id, "after the end")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(kinds(chat), ["place …", "progress shown"])
    })
  )

  it.effect("a throttle that an edit of progress runs into holds the final edit as well", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const made = yield* started(chat)
      chat.fatesOf("progress", { throttle: 30_000, scope: "conversation" })
      const turn = yield* made.turn("chat", "kim")
      yield* begun(made, turn)
      yield* made.settled("chat", "kim")
      yield* made.outbox.progress(turn.id, "one")
      yield* made.settled("chat", "kim")
      yield* made.answer(turn, kim, "done")
      yield* TestClock.adjust("29 seconds")
      assert.deepStrictEqual(kinds(chat), ["place …", "progress one"])
      yield* TestClock.adjust("1 second")
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["done"])
    })
  )

  it.effect("a throttle that an edit of progress ran into outlasts a restart", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const file = yield* storeFile
      const first = yield* started(chat, file)
      chat.fatesOf("progress", { throttle: 600_000, scope: "conversation" })
      const turn = yield* first.turn("chat", "kim")
      yield* begun(first, turn)
      yield* first.settled("chat", "kim")
      yield* first.outbox.progress(turn.id, "one")
      yield* first.settled("chat", "kim")
      yield* first.answer(turn, kim, "done")
      yield* first.close
      const second = yield* started(chat, file)
      yield* TestClock.adjust("9 minutes")
      yield* second.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["…"])
      yield* TestClock.adjust("1 minute")
      yield* second.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["done"])
    })
  )

  it.effect("a failed edit of progress changes nothing about the answer", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "edit" })
      const made = yield* started(chat)
      chat.fatesOf("progress", "drop", "defect", "refuse")
      const turn = yield* made.turn("chat", "kim")
      yield* begun(made, turn)
      yield* made.settled("chat", "kim")
      for (const text of ["a", "ab", "abc", "abcd"]) {
        yield* made.outbox.progress(turn.id, text)
        yield* TestClock.adjust("1 second")
        yield* made.settled("chat", "kim")
      }
      assert.deepStrictEqual(chat.seen("kim"), ["abcd"])
      yield* made.answer(turn, kim, "abcde")
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(chat.seen("kim"), ["abcde"])
    })
  )

  it.effect("other classes have none: a turn begins and shows nothing", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const made = yield* started(chat)
      const turn = yield* made.turn("chat", "kim")
      yield* begun(made, turn)
      yield* made.outbox.progress(turn.id, "hidden")
      yield* made.answer(turn, kim, "done")
      yield* made.settled("chat", "kim")
      assert.deepStrictEqual(kinds(chat), ["deliver done"])
    })
  )
})
