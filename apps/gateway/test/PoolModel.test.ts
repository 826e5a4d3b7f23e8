// A model agent over a pool of the same program: the promises of every agent, its place in the line, what it makes of the
// pool's errors, and a stop that finds turns in the line. Scenarios: S1, S6, P2, P5, P6.
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Capabilities from "@sluice/pools/Capabilities"
import type { Worker } from "@sluice/pools/Capability"
import { Governor } from "@sluice/pools/Governor"
import * as OpenAi from "@sluice/pools/OpenAi"
import * as Pool from "@sluice/pools/Pool"
import { WorkerError } from "@sluice/pools/PoolError"
import { agentConformance, answerText, sessionOf, turnOf } from "@sluice/runtime/testing/agentConformance"
import type * as Agent from "@sluice/runtime/Agent"
import { Gateway } from "@sluice/runtime/Gateway"
import { Attachment, type Turn } from "@sluice/runtime/Message"
import type { Drain } from "@sluice/runtime/Shutdown"
import { TestGateway } from "@sluice/runtime/testing"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { standIn } from "../../../packages/agents/test/standIn/openai.ts"
import * as PoolModel from "../src/agents/PoolModel.ts"
import { temporaryFolder } from "./harness.ts"

const one = (pool: PoolModel.Talker["pool"], capability: PoolModel.Talker["capability"] = "text-generation") =>
  ({
    names: ["writer"],
    find: (name) => (name === "writer" ? { capability, pool } : undefined)
  }) satisfies PoolModel.Pools

describe("a model over a pool keeps the promises of every agent", () => {
  const expected = ({ interrupted, text }: Turn): string =>
    interrupted?.tool === undefined
      ? text
      : `[An earlier attempt to answer was cut off while running ${interrupted.tool}. Nobody knows whether it went through: say so, and don't do it again without being asked.]\n\n${text}`
  const subject = (agent: Agent.Agent) =>
    ({ agent, expected, fails: "fail 400", hangs: "hang", hangsWith: "event" }) as const
  const nowhere: PoolModel.Pools = { names: [], find: () => undefined }
  for (const { name } of agentConformance(subject(PoolModel.make(nowhere, { model: "writer" })))) {
    it.live(name, () =>
      Effect.gen(function* () {
        const { url } = yield* standIn()
        const pool = yield* Pool.make({
          name: "writer",
          capability: Capabilities.textGeneration,
          load: OpenAi.textGeneration({ urls: [url], model: "stand-in", health: false }),
          drainTimeout: 0
        })
        const made = PoolModel.make(one(pool), { model: "writer", retries: 0 })
        const found = agentConformance(subject(made)).find((one) => one.name === name)
        yield* found?.run ?? Effect.die(`there is no case ${name}`)
      }).pipe(Effect.provide([Governor.layer(), NodeHttpClient.layerNodeHttp]))
    )
  }
})

/** One answer that is being written; the test writes it. */
interface Written {
  readonly request: Capabilities.TextRequest
  readonly parts: Queue.Queue<Capabilities.ChatPart, WorkerError | Cause.Done>
  over: "no" | "ended" | "left"
}

/** A worker that writes what the test says. */
const desk = () => {
  const written: Array<Written> = []
  const waiting: Array<{ readonly n: number; readonly done: Deferred.Deferred<Written> }> = []
  const begin = (request: Capabilities.TextRequest) =>
    Effect.gen(function* () {
      const one: Written = {
        request,
        parts: yield* Queue.unbounded<Capabilities.ChatPart, WorkerError | Cause.Done>(),
        over: "no"
      }
      written.push(one)
      for (const { done, n } of waiting) if (n === written.length) Deferred.doneUnsafe(done, Effect.succeed(one))
      return Stream.fromQueue(one.parts).pipe(
        Stream.onExit((exit) => Effect.sync(() => void (one.over = exit._tag === "Success" ? "ended" : "left")))
      )
    })
  return {
    written,
    load: () =>
      Effect.succeed({
        answer: () => Effect.die("nobody asks for it whole"),
        stream: (request: Capabilities.TextRequest) => Stream.unwrap(begin(request))
      }),
    /** The n-th answer, once it has begun. */
    nth: (n: number) =>
      Effect.suspend(() => {
        const found = written[n - 1]
        if (found !== undefined) return Effect.succeed(found)
        const done = Deferred.makeUnsafe<Written>()
        waiting.push({ n, done })
        return Deferred.await(done)
      })
  }
}

/** What the person said. */
const lastOf = ({ request }: Written): string => {
  const content = request.messages.at(-1)?.content
  return typeof content === "string" ? content : ""
}

const say = ({ parts }: Written, text: string) => Queue.offer(parts, { text })
const end = ({ parts }: Written) =>
  Effect.andThen(Queue.offerAll(parts, [{ finish: "stop" }, { tokens: { input: 3, output: 2 } }]), Queue.end(parts))

interface Place extends Pick<ReturnType<typeof desk>, "nth" | "written"> {
  readonly load: () => Effect.Effect<
    Worker<Capabilities.TextRequest, Capabilities.ChatAnswer, Capabilities.ChatPart>,
    WorkerError
  >
}

/** A pool with one worker, and agents over it. */
const pooled = Effect.fnUntraced(function* (queue: number, place: Place) {
  const pool = yield* Pool.make({
    name: "writer",
    capability: Capabilities.textGeneration,
    load: place.load,
    workers: { start: 1, max: 1 },
    stallTimeout: "11 minutes",
    queue
  })
  yield* Effect.addFinalizer(() => pool.interrupt)
  const agent = PoolModel.make(one(pool), { model: "writer", retries: 0 })
  const opened = (conversation: string) => agent.open({ ...sessionOf({ instance: "test" }), conversation })
  return { ...place, pool, opened }
})

const until = Effect.fnUntraced(function* (holds: Effect.Effect<boolean>) {
  while (!(yield* holds)) yield* Effect.yieldNow
})

const waits = (pool: PoolModel.Talker["pool"], count: number) =>
  until(Effect.map(pool.status, ({ waiting }) => waiting === count))

describe("a model over a pool", () => {
  it.effect("is given its answer piece by piece, with what it used", () =>
    Effect.gen(function* () {
      const { nth, opened } = yield* pooled(9, desk())
      const agent = yield* opened("kim")
      const events: Array<Agent.AgentEvent> = []
      const first = yield* Deferred.make<void>()
      const answering = yield* Effect.forkChild(
        Stream.runForEach(agent.answer(turnOf(["hello"])), (event) =>
          Effect.suspend(() => {
            events.push(event)
            return event._tag === "Text" ? Deferred.succeed(first, undefined) : Effect.void
          })
        )
      )
      const writing = yield* nth(1)
      assert.deepStrictEqual(writing.request, {
        messages: [{ role: "user", content: "hello" }],
        settings: { max_tokens: 4096 }
      })
      yield* say(writing, "good ")
      yield* Deferred.await(first)
      yield* say(writing, "day")
      yield* end(writing)
      yield* Fiber.join(answering)
      assert.strictEqual(answerText(events), "good day")
      assert.deepStrictEqual(
        events.filter(({ _tag }) => _tag === "Usage"),
        [{ _tag: "Usage", usage: { inputTokens: 3, outputTokens: 2 }, model: "writer" }]
      )
    }).pipe(Effect.provide(Governor.layer()))
  )

  it.effect("P5: takes turns with others by conversation, and one that is cut leaves the line at once", () =>
    Effect.gen(function* () {
      const { nth, opened, pool, written } = yield* pooled(9, desk())
      const kim = yield* opened("kim")
      const lee = yield* opened("lee")
      const ask = (agent: typeof kim, text: string) =>
        Effect.forkChild(Stream.runDrain(agent.answer(turnOf([text]))), { startImmediately: true })
      const running = yield* ask(kim, "one")
      const writing = yield* nth(1)
      const cut = yield* ask(kim, "two")
      for (const text of ["three", "four"]) yield* ask(kim, text)
      yield* ask(lee, "five")
      yield* waits(pool, 4)
      yield* Fiber.interrupt(cut)
      assert.strictEqual((yield* pool.status).waiting, 3)
      yield* end(writing)
      yield* Fiber.await(running)
      for (const n of [2, 3, 4]) yield* end(yield* nth(n))
      const asked = written.map(lastOf)
      assert.deepStrictEqual(asked, ["one", "three", "five", "four"])
      yield* waits(pool, 0)
    }).pipe(Effect.provide(Governor.layer()))
  )

  it.effect("P5: a line that is full is asked again after its hint, for as long as the turn may take", () =>
    Effect.gen(function* () {
      const { nth, opened, pool } = yield* pooled(1, desk())
      const agent = yield* opened("kim")
      const ask = (text: string) =>
        Effect.forkChild(Effect.exit(Stream.runDrain(agent.answer(turnOf([text])))), { startImmediately: true })
      yield* ask("one")
      const first = yield* nth(1)
      yield* ask("two")
      yield* waits(pool, 1)
      const late = yield* ask("three")
      const overloaded = Effect.map(pool.status, ({ outcomes }) => outcomes["Overloaded"] ?? 0)
      yield* until(Effect.map(overloaded, (count) => count === 1))
      yield* TestClock.adjust("10 minutes")
      assert.isAbove(yield* overloaded, 20)
      assert.isUndefined(late.pollUnsafe())
      yield* end(first)
      yield* end(yield* nth(2))
      yield* TestClock.adjust("30 seconds")
      const third = yield* nth(3)
      yield* say(third, "at last")
      yield* end(third)
      assert.strictEqual((yield* Fiber.join(late))._tag, "Success")
    }).pipe(Effect.provide(Governor.layer()))
  )

  const failures: ReadonlyArray<
    readonly [name: string, error: WorkerError, reason: Agent.AgentError["reason"], said: RegExp]
  > = [
    [
      "a refused key is the operator's, and tried again",
      new WorkerError({ reason: "Rejected", message: "it does not accept the key", status: 401 }),
      "Failed",
      /pool writer refused the request: it does not accept the key/
    ],
    [
      "what the model never answers is final",
      new WorkerError({ reason: "Rejected", message: "the server answered with 400: no such thing", status: 400 }),
      "Rejected",
      /no such thing/
    ],
    [
      "a worker that broke is tried again",
      new WorkerError({ reason: "Transport", message: "the connection broke" }),
      "Failed",
      /pool writer lost its worker/
    ],
    [
      "a backend without room is tried again",
      new WorkerError({ reason: "Busy", message: "no room", retryAfter: 60_000 }),
      "Failed",
      /has a backend without room/
    ]
  ]
  for (const [name, error, reason, said] of failures) {
    it.effect(`P6: ${name}`, () =>
      Effect.gen(function* () {
        const failing = {
          ...desk(),
          load: () => Effect.succeed({ answer: () => Effect.fail(error), stream: () => Stream.fail(error) })
        }
        const { opened } = yield* pooled(9, failing)
        const agent = yield* opened("kim")
        const failed = yield* Effect.flip(Stream.runDrain(agent.answer(turnOf(["hello"]))))
        assert.strictEqual(failed.reason, reason)
        assert.match(failed.message, said)
      }).pipe(Effect.provide(Governor.layer()))
    )
  }

  it.effect("P6: a stream that stalls fails the attempt, and what was said of it is nobody's answer", () =>
    Effect.gen(function* () {
      const { nth, opened } = yield* pooled(9, desk())
      const agent = yield* opened("kim")
      const answering = yield* Effect.forkChild(Effect.flip(Stream.runDrain(agent.answer(turnOf(["hello"])))))
      yield* say(yield* nth(1), "well,")
      yield* TestClock.adjust("11 minutes")
      const failed = yield* Fiber.join(answering)
      assert.strictEqual(failed.reason, "Failed")
      assert.match(failed.message, /pool writer said nothing for 660 s/)
    }).pipe(Effect.provide(Governor.layer()))
  )

  it.effect("a text model is asked without images, and a pool that is not there is named", () =>
    Effect.gen(function* () {
      const { nth, pool } = yield* pooled(9, desk())
      const folder = yield* temporaryFolder
      const path = join(folder, "picture")
      writeFileSync(path, "picture")
      const attachment = new Attachment({ hash: "a", size: 7, type: "image/png", name: "a.png", path })
      const turn = turnOf(["look"])
      const [message] = turn.messages
      if (message === undefined) return yield* Effect.die("the turn has no message")
      const agent = yield* PoolModel.make(one(pool), { model: "writer" }).open(sessionOf({ instance: "test" }))
      yield* Effect.forkChild(
        Stream.runDrain(agent.answer({ ...turn, messages: [{ ...message, attachments: [attachment] }] }))
      )
      const writing = yield* nth(1)
      assert.strictEqual(writing.request.messages[0]?.content, "[image a.png, 7 bytes: not shown]\nlook")
      yield* end(writing)
      const lost = yield* PoolModel.make(one(pool), { model: "poet" }).open(sessionOf({ instance: "test" }))
      const failed = yield* Effect.flip(Stream.runDrain(lost.answer(turn)))
      assert.match(failed.message, /there is no pool "poet" for chats; there is writer/)
    }).pipe(Effect.provide(Governor.layer()))
  )
})

describe("a stop", () => {
  /** A boot over the same store, with a pool of its own. */
  const boot = Effect.fnUntraced(function* (filename: string) {
    const place = yield* pooled(9, desk())
    const agents = { writer: PoolModel.make(one(place.pool), { model: "writer" }) }
    const drains: ReadonlyArray<Drain> = [Pool.toDrain(place.pool)]
    const options = { agents, drains, drain: { timeout: "10 seconds" as const }, debounce: { quiet: 0 } }
    const context = yield* Layer.build(TestGateway.make(options, { filename }))
    return { ...place, gateway: Context.get(context, Gateway) }
  })
  const sent = (conversation: string, text: string) => ({ conversation, id: text, sender: conversation, text })

  it.effect("S6, P2, S1: a turn in the pool's line is resumed after the restart and answered once", () =>
    Effect.gen(function* () {
      const filename = join(yield* temporaryFolder, "store.db")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { gateway, nth, pool, written } = yield* boot(filename)
          for (const name of ["kim", "lee", "sam"]) yield* gateway.accept(sent(name, `hello from ${name}`))
          yield* say(yield* nth(1), "I was about to")
          yield* waits(pool, 2)
          const stopping = yield* Effect.forkChild(gateway.stop({ reason: "restart" }))
          yield* until(Effect.map(pool.status, ({ draining }) => draining))
          yield* TestClock.adjust("10 seconds")
          const report = yield* Fiber.join(stopping)
          assert.deepStrictEqual(
            report.sessions.map(({ outcome }) => outcome),
            ["interrupted", "interrupted", "interrupted"]
          )
          assert.strictEqual(written.length, 1)
          assert.strictEqual(written[0]?.over, "left")
        })
      )
      const { gateway, nth, written } = yield* boot(filename)
      const sessions = yield* gateway.sessions
      assert.deepStrictEqual(
        sessions.map(({ turn }) => [turn?.crashes, turn?.errors]),
        sessions.map(() => [0, 0])
      )
      yield* TestClock.adjust("5 seconds")
      for (const n of [1, 2, 3]) {
        const writing = yield* nth(n)
        yield* say(writing, lastOf(writing))
        yield* end(writing)
      }
      for (const name of ["kim", "lee", "sam"]) {
        yield* gateway.settled(name)
        const replies = yield* Stream.runCollect(Stream.take(gateway.replies(name, 0), 1))
        assert.deepStrictEqual(
          replies.map(({ text }) => text),
          [`hello from ${name}`]
        )
      }
      assert.strictEqual(written.length, 3)
    }).pipe(Effect.provide(Governor.layer()))
  )

  it.effect("S6: turns in the line and at a worker are finished within the drain, and nothing is left to resume", () =>
    Effect.gen(function* () {
      const filename = join(yield* temporaryFolder, "store.db")
      const { gateway, nth, pool } = yield* boot(filename)
      for (const name of ["kim", "lee"]) yield* gateway.accept(sent(name, `hello from ${name}`))
      const first = yield* nth(1)
      yield* waits(pool, 1)
      const stopping = yield* Effect.forkChild(gateway.stop({ reason: "stop" }))
      yield* until(Effect.map(pool.status, ({ draining }) => draining))
      yield* say(first, "done")
      yield* end(first)
      const second = yield* nth(2)
      yield* say(second, "done")
      yield* end(second)
      const report = yield* Fiber.join(stopping)
      assert.deepStrictEqual(
        report.sessions.map(({ outcome }) => outcome),
        ["finished", "finished"]
      )
      assert.deepStrictEqual(report.drains[0]?.counts, { drained: 2, aborted: 0, rejected: 0 })
    }).pipe(Effect.provide(Governor.layer()))
  )
})
