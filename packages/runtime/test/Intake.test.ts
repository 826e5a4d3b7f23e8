// What is taken and what is not: every refusal names the field, the value and the remedy and stores nothing; whatever is
// taken is on disk before its sender hears of it, also beside a host that writes to the same file.
import { assert, describe, it } from "@effect/vitest"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Gateway } from "../src/Gateway.ts"
import { type Inbound, maxTextLength } from "../src/Message.ts"
import { TestAgent, TestChannel, TestGateway } from "../src/testing/index.ts"
import { given, meanwhile, storeFile } from "./guarantees/boots.ts"

const message: Inbound = { conversation: "kim", sender: "kim", text: "hello" }
const file = { hash: "ab".repeat(32), size: 3, type: "image/png" }

const quiet0 = (agent: TestAgent.TestAgent) =>
  TestGateway.make({ agents: { main: agent.agent }, debounce: { quiet: 0 } })

describe("what can't be accepted", () => {
  const refusals: Readonly<Record<string, readonly [Partial<Inbound>, string, string]>> = {
    "an empty text": [{ text: "" }, "Invalid", "text is empty: send a text or an attachment"],
    "a text of white space": [{ text: " \n\t " }, "Invalid", "text is empty: send a text or an attachment"],
    "a text that is too long": [
      { text: "x".repeat(maxTextLength + 1) },
      "TooLarge",
      "text has 262145 characters, at most 262144 are accepted; send it in parts"
    ],
    "a text with half a character": [
      { text: "a \ud83d b" },
      "Invalid",
      "text has a lone surrogate: send well-formed Unicode"
    ],
    "17 attachments": [
      { attachments: Array.from({ length: 17 }, () => file) },
      "TooLarge",
      "attachments has 17 files, at most 16 are accepted; send it in parts"
    ],
    "no conversation": [{ conversation: "" }, "Invalid", "conversation is empty: give at least one character"],
    "a conversation with a control character": [
      { conversation: "kim\u001b[2J" },
      "Invalid",
      'conversation is "kim\\u001b[2J": leave out control, bidirectional and broken characters'
    ],
    "a sender that reads backwards": [
      { sender: "kim\u202eexe" },
      "Invalid",
      'sender is "kim\u202eexe": leave out control, bidirectional and broken characters'
    ],
    "a sender with a hidden mark of direction": [
      { sender: "kim\u061c" },
      "Invalid",
      'sender is "kim\u061c": leave out control, bidirectional and broken characters'
    ],
    "no sender": [{ sender: "" }, "Invalid", "sender is empty: give at least one character"],
    "an empty id": [{ id: "" }, "Invalid", "id is empty: give at least one character"],
    "an id with a line feed": [
      { id: "1\n2" },
      "Invalid",
      'id is "1\\n2": leave out control, bidirectional and broken characters'
    ],
    "an id that is too long": [
      { id: "1".repeat(257) },
      "TooLarge",
      "id has 257 characters, at most 256 are accepted; send it in parts"
    ],
    "a thread with half a character": [
      { thread: "\udc00" },
      "Invalid",
      'thread is "\\udc00": leave out control, bidirectional and broken characters'
    ]
  }

  it.effect("W4: each refusal names the field, the value and the remedy, and nothing is stored", () => {
    const agent = TestAgent.echo()
    return Effect.gen(function* () {
      const gateway = yield* Gateway
      for (const [what, [part, tag, sentence]] of Object.entries(refusals)) {
        const error = yield* Effect.flip(gateway.accept({ ...message, ...part }))
        assert.deepStrictEqual([what, error._tag, error.message], [what, tag, sentence])
      }
      assert.deepStrictEqual((yield* gateway.audit).accepted, 0)
      assert.deepStrictEqual(yield* gateway.sessions, [])
    }).pipe(Effect.provide(quiet0(agent)))
  })

  it.effect("what is just within the bounds is accepted and reaches the agent unharmed", () => {
    const agent = TestAgent.echo()
    return Effect.gen(function* () {
      const gateway = yield* Gateway
      const texts = ["x".repeat(maxTextLength), "\u202eleft\u202c \u001b[31m \u{1f980}", "  spaces  "]
      for (const text of texts) {
        yield* gateway.accept({ ...message, text })
        yield* meanwhile(gateway.settled("kim"))
      }
      yield* gateway.accept({ ...message, text: "", attachments: Array.from({ length: 16 }, () => file) })
      yield* meanwhile(gateway.settled("kim"))
      assert.deepStrictEqual(given(agent), [...texts, ""])
      assert.strictEqual(agent.runs[3]?.turn.messages[0]?.attachments.length, 16)
      yield* gateway.accept({ ...message, conversation: "../../etc/passwd", id: "../x", text: "path" })
      yield* meanwhile(gateway.settled("../../etc/passwd"))
      assert.strictEqual(agent.runs.at(-1)?.turn.conversation, "host/..%2F..%2Fetc%2Fpasswd")
    }).pipe(Effect.provide(quiet0(agent)))
  })

  it.effect("W4: a post is checked like a message", () =>
    Effect.gen(function* () {
      const gateway = yield* Gateway
      for (const [conversation, post, sentence] of [
        ["kim", { text: " " }, "text is empty: send a text"],
        ["", { text: "a" }, "conversation is empty: give at least one character"],
        ["kim", { text: "a", id: "\u0000" }, 'id is "\\u0000": leave out control, bidirectional and broken characters'],
        ["kim", { text: "\ud800" }, "text has a lone surrogate: send well-formed Unicode"]
      ] as const) {
        assert.strictEqual((yield* Effect.flip(gateway.post(conversation, post))).message, sentence)
      }
    }).pipe(Effect.provide(quiet0(TestAgent.echo())))
  )
})

describe("posts and replies", () => {
  it.effect("a post needs no turn, is stored once by its id, and stands among the replies in order", () => {
    const agent = TestAgent.echo()
    return Effect.gen(function* () {
      const gateway = yield* Gateway
      const first = yield* gateway.post("kim", { id: "alert", text: "Disk is full" })
      assert.isFalse(first.duplicate)
      assert.isTrue((yield* gateway.post("kim", { id: "alert", text: "Disk is full" })).duplicate)
      const conflict = yield* Effect.flip(gateway.post("kim", { id: "alert", text: "Disk is empty" }))
      assert.strictEqual(conflict._tag, "Conflict")
      // Of an id space of its own.
      yield* gateway.accept({ ...message, id: "alert" })
      yield* meanwhile(gateway.settled("kim"))
      yield* gateway.post("kim", { text: "All is well" })
      const replies = yield* Stream.runCollect(Stream.take(gateway.replies("kim"), 3))
      assert.deepStrictEqual(
        replies.map(({ inReplyTo, kind, number, text }) => [number, kind, text, inReplyTo]),
        [
          [1, "post", "Disk is full", []],
          [2, "answer", "hello", ["alert"]],
          [3, "post", "All is well", []]
        ]
      )
      const ledger = yield* gateway.audit
      assert.deepStrictEqual([ledger.balanced, ledger.accepted], [true, 1])
    }).pipe(Effect.provide(quiet0(agent)))
  })

  it.effect("replies: the stored ones above a number, then each as it comes, also to a key of another channel", () => {
    const far = TestChannel.make({ class: "pull" })
    const agent = TestAgent.echo()
    return Effect.gen(function* () {
      const gateway = yield* Gateway
      for (const text of ["1", "2", "3"]) {
        yield* far.say("kim", text)
        yield* meanwhile(gateway.settled("chat/kim"))
      }
      const heard: Array<string> = []
      const reading = yield* gateway.replies("chat/kim", 1).pipe(
        Stream.take(4),
        Stream.runForEach(({ number, text }) => Effect.sync(() => heard.push(`${number}:${text}`))),
        Effect.forkChild({ startImmediately: true })
      )
      yield* gateway.post("chat/kim", { text: "post" })
      yield* far.say("kim", "5")
      yield* meanwhile(Fiber.join(reading))
      assert.deepStrictEqual(heard, ["2:2", "3:3", "4:post", "5:5"])
    }).pipe(
      Effect.provide(
        TestGateway.make({ agents: { main: agent.agent }, channels: { chat: far.channel }, debounce: { quiet: 0 } })
      )
    )
  })

  it.effect(
    "ended: completes with the end and the replies, at once for an old message, and knows what it does not know",
    () => {
      const far = TestChannel.make({ class: "pull" })
      const agent = TestAgent.make()
      return Effect.gen(function* () {
        const handle = yield* far.started
        const { seq } = yield* far.say("kim", "hello", "m1")
        const waiting = yield* Effect.forkChild(handle.ended(seq), { startImmediately: true })
        const run = yield* agent.run(1)
        assert.isUndefined(waiting.pollUnsafe())
        yield* run.finish("hi")
        for (const standing of [yield* meanwhile(Fiber.join(waiting)), yield* handle.ended(seq)]) {
          assert.deepStrictEqual(
            [standing?.id, standing?.ended, standing?.replies.map(({ text }) => text)],
            ["m1", { ending: "replied", why: "" }, ["hi"]]
          )
        }
        assert.isUndefined(yield* handle.ended(999))
      }).pipe(
        Effect.provide(
          TestGateway.make({ agents: { main: agent.agent }, channels: { chat: far.channel }, debounce: { quiet: 0 } })
        )
      )
    }
  )
})

describe("D29: a host with a database of its own in the same file", () => {
  it.effect("D29: beside a write transaction of the host accept fails as Busy within 2 s, and commits after it", () =>
    Effect.gen(function* () {
      const filename = yield* storeFile
      const agent = TestAgent.echo()
      yield* Effect.gen(function* () {
        const gateway = yield* Gateway
        const sql = yield* SqlClient.SqlClient
        yield* sql`create table orders (id integer primary key, text text)`
        const within = yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`insert into orders (text) values ('one')`
            const before = yield* Clock.currentTimeMillis
            const error = yield* meanwhile(Effect.flip(gateway.accept({ ...message, id: "m1" })), { step: 100 })
            return { error, millis: (yield* Clock.currentTimeMillis) - before }
          })
        )
        assert.strictEqual(within.error._tag, "Busy")
        assert.isAtMost(within.millis, 2100)
        const accepted = yield* meanwhile(gateway.accept({ ...message, id: "m1" }))
        assert.isFalse(accepted.duplicate)
        yield* meanwhile(gateway.settled("kim"))
        assert.deepStrictEqual(given(agent), ["hello"])
        assert.deepStrictEqual(yield* sql`select text from orders`, [{ text: "one" }])
      }).pipe(
        Effect.provide(
          Layer.merge(
            TestGateway.make({ agents: { main: agent.agent }, debounce: { quiet: 0 } }, { filename }),
            SqliteClient.layer({ filename })
          )
        )
      )
    })
  )

  it.effect("D29: a turn that is finished while the host writes is settled once the host has committed", () =>
    Effect.gen(function* () {
      const filename = yield* storeFile
      const agent = TestAgent.make()
      const held = yield* Deferred.make<void>()
      yield* Effect.gen(function* () {
        const gateway = yield* Gateway
        const sql = yield* SqlClient.SqlClient
        yield* sql`create table orders (id integer primary key, text text)`
        yield* gateway.accept(message)
        const run = yield* agent.run(1)
        const writing = yield* Effect.forkChild(
          sql.withTransaction(Effect.andThen(sql`insert into orders (text) values ('one')`, Deferred.await(held))),
          { startImmediately: true }
        )
        yield* run.finish("hi")
        yield* TestClock.adjust("10 seconds")
        yield* Deferred.succeed(held, undefined)
        yield* Fiber.join(writing)
        yield* meanwhile(gateway.settled("kim"))
        const [reply] = yield* Stream.runCollect(Stream.take(gateway.replies("kim"), 1))
        assert.strictEqual(reply?.text, "hi")
      }).pipe(
        Effect.provide(
          Layer.merge(
            TestGateway.make({ agents: { main: agent.agent }, debounce: { quiet: 0 } }, { filename }),
            SqliteClient.layer({ filename })
          )
        )
      )
    })
  )
})
