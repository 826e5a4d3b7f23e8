/**
 * What every channel must do, as a list of named cases: acknowledge after the
 * commit and not before, recognise a repeat, show each reply once and in order,
 * also to somebody who was away, tell what will never be accepted, try again
 * what may be, and leave nothing behind when it closes. A test file registers
 * each case with its runner; channels with real sockets run on the live clock.
 */
import type * as Scope from "effect/Scope"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Handle } from "../Channel.ts"
import { Full, Invalid } from "../Message.ts"
import { NotConforming } from "./agentConformance.ts"
import * as MemoryHandle from "./memoryHandle.ts"

/** What a person is told of a message that they sent. */
export type Told =
  | { readonly _tag: "Accepted"; readonly duplicate: boolean; readonly held: boolean }
  | { readonly _tag: "Refused"; readonly reason: string }

/** Somebody in the conversation `kim`, with whatever the channel's clients have: a browser, a terminal, a phone. */
export interface Person {
  /** Sends a message and completes when they are told of it. The client tries again what may pass. */
  readonly send: (message: { readonly id: string; readonly text: string }) => Effect.Effect<Told>
  /** The next reply that they see, in the order in which they see them; waits for it. */
  readonly next: Effect.Effect<string>
  /** Their connection breaks, without a word to anybody. */
  readonly drop: Effect.Effect<void>
  /** They come back with what they remember, and see again what comes. */
  readonly comeBack: Effect.Effect<void>
}

/** A channel that runs on a handle, with a person who is connected. */
export interface RunningChannel {
  readonly person: Person
  /** Ends `receive`, as the end of a stop does. */
  readonly close: Effect.Effect<void>
}

/** A channel under test. */
export interface ChannelSubject<R> {
  readonly start: (handle: Handle) => Effect.Effect<RunningChannel, never, R | Scope.Scope>
}

/** One promise and its proof. */
export interface ChannelCase<R> {
  readonly name: string
  readonly run: Effect.Effect<void, NotConforming, R>
}

const kim = "kim"

const require = (holds: boolean, message: string): Effect.Effect<void, NotConforming> =>
  holds ? Effect.void : new NotConforming({ message })

const same = <A>(actual: A, expected: A, what: string): Effect.Effect<void, NotConforming> => {
  const [was, wanted] = [JSON.stringify(actual), JSON.stringify(expected)]
  return require(was === wanted, `${what}: expected ${wanted}, was ${was}`)
}

const accepted = (more: { readonly duplicate?: boolean; readonly held?: boolean } = {}): Told => ({
  _tag: "Accepted",
  duplicate: more.duplicate ?? false,
  held: more.held ?? false
})

type Test = (
  memory: MemoryHandle.MemoryHandle,
  running: RunningChannel
) => Effect.Effect<void, NotConforming, Scope.Scope>

const acknowledges: Test = Effect.fnUntraced(function* (memory, { person }) {
  yield* memory.commit.close
  const told = yield* Effect.forkChild(person.send({ id: "a", text: "hello" }))
  yield* memory.arrived(1)
  yield* require(told.pollUnsafe() === undefined, "told of a message that is not committed")
  yield* memory.commit.open
  yield* same(yield* Fiber.join(told), accepted(), "told")
  const texts = (yield* memory.messages).map(({ id, text }) => [id, text])
  yield* same(texts, [["a", "hello"]], "stored")
})

const recognises: Test = Effect.fnUntraced(function* (memory, { person }) {
  yield* person.send({ id: "a", text: "hello" })
  yield* same(yield* person.send({ id: "a", text: "hello" }), accepted({ duplicate: true }), "told of the repeat")
  yield* same((yield* memory.messages).length, 1, "messages")
})

const conflicts: Test = Effect.fnUntraced(function* (memory, { person }) {
  yield* person.send({ id: "a", text: "hello" })
  const told = yield* person.send({ id: "a", text: "something else" })
  yield* require(told._tag === "Refused", "another text under a used id was not refused")
  yield* same(
    (yield* memory.messages).map(({ text }) => text),
    ["hello"],
    "stored"
  )
})

const refuses: Test = Effect.fnUntraced(function* (memory, { person }) {
  yield* memory.refuseNext(new Invalid({ field: "text", value: '"x"', remedy: "say it in other words" }))
  const told = yield* person.send({ id: "a", text: "x" })
  yield* require(told._tag === "Refused" && told.reason.includes("say it in other words"), "not told the remedy")
  yield* same((yield* memory.messages).length, 0, "messages")
  yield* same(yield* person.send({ id: "b", text: "y" }), accepted(), "told of the next message")
})

const retries: Test = Effect.fnUntraced(function* (memory, { person }) {
  yield* memory.refuseNext(new Full({ retryAfter: 1 }))
  yield* memory.refuseNext(new Full({ retryAfter: 1 }))
  yield* same(yield* person.send({ id: "a", text: "hello" }), accepted(), "told in the end")
  yield* same(
    (yield* memory.messages).map(({ id }) => id),
    ["a"],
    "stored"
  )
})

const shows: Test = Effect.fnUntraced(function* (memory, { person }) {
  yield* person.send({ id: "a", text: "hello" })
  yield* memory.answer(1, "one")
  yield* memory.reply(kim, { text: "two\nwith a second line" })
  yield* memory.reply(kim, { text: "three" })
  const seen = [yield* person.next, yield* person.next, yield* person.next]
  yield* same(seen, ["one", "two\nwith a second line", "three"], "seen")
  // whatever was shown twice would be seen before this one
  yield* memory.reply(kim, { text: "four" })
  yield* same(yield* person.next, "four", "seen then")
})

const catchesUp: Test = Effect.fnUntraced(function* (memory, { person }) {
  yield* person.send({ id: "a", text: "hello" })
  yield* memory.answer(1, "one")
  yield* same(yield* person.next, "one", "seen")
  yield* person.drop
  yield* memory.reply(kim, { text: "two" })
  yield* memory.reply(kim, { text: "three" })
  yield* person.comeBack
  yield* same([yield* person.next, yield* person.next], ["two", "three"], "seen after coming back")
  yield* memory.reply(kim, { text: "four" })
  yield* same(yield* person.next, "four", "seen then")
})

const keeps: Test = Effect.fnUntraced(function* (memory, { person }) {
  yield* memory.acknowledge.close
  const sending = yield* Effect.forkChild(person.send({ id: "a", text: "hello" }))
  yield* memory.message(1)
  yield* person.drop
  yield* memory.acknowledge.open
  yield* Fiber.interrupt(sending)
  yield* person.comeBack
  yield* same(yield* person.send({ id: "a", text: "hello" }), accepted({ duplicate: true }), "told when sent again")
  yield* memory.answer(1, "heard")
  yield* same(yield* person.next, "heard", "seen")
})

const drains: Test = Effect.fnUntraced(function* (memory, { person }) {
  yield* person.send({ id: "a", text: "hello" })
  yield* memory.stop
  yield* same(yield* person.send({ id: "b", text: "one more" }), accepted({ held: true }), "told while it stops")
  yield* memory.answer(1, "just in time")
  yield* same(yield* person.next, "just in time", "seen in the drain")
})

const letsGo: Test = Effect.fnUntraced(function* (memory, { close, person }) {
  const reading = yield* Effect.forkChild(person.next)
  yield* person.send({ id: "a", text: "hello" })
  yield* memory.stop
  yield* close
  yield* memory.readers(0)
  yield* memory.watchers(0)
  yield* require(reading.pollUnsafe() === undefined, "a reply was seen that nobody gave")
  yield* Fiber.interrupt(reading)
})

const cases: ReadonlyArray<readonly [string, Test]> = [
  ["C1: tells a person of a message once it is committed, not before", acknowledges],
  ["C2: recognises a message that is sent again", recognises],
  ["C2: refuses another text under a used id, and says so", conflicts],
  ["tells what is refused for good and why, and goes on", refuses],
  ["tries again what is refused for now, as one message", retries],
  ["C5: shows each reply once and in order", shows],
  ["C5: shows somebody who was away what they missed, once and in order", catchesUp],
  ["D22: keeps a message whose sender left between the commit and the answer", keeps],
  ["S6: accepts while the gateway stops, says so, and shows what the drain still answers", drains],
  ["S13: closes without leaving a reader behind", letsGo]
]

/** The cases for one channel. Each gets a handle over an empty store and a channel of its own. */
export const channelConformance = <R>(
  subject: ChannelSubject<R>
): ReadonlyArray<ChannelCase<Exclude<R, Scope.Scope>>> =>
  cases.map(([name, test]) => ({
    name,
    run: Effect.scoped(
      Effect.gen(function* () {
        const memory = yield* MemoryHandle.make({ name: "test" })
        const running = yield* subject.start(memory.handle)
        yield* memory.ready
        yield* test(memory, running)
      })
    )
  }))
