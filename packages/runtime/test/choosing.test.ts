// The table "Which tool" of the README, row by row: each test shows the same need met by the right tool and failed by the
// other one. None of them is about a fault: every tool here does what it says, and the need decides.
import { assert, describe, it } from "@effect/vitest"
import * as Entity from "effect/cluster/Entity"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberMap from "effect/FiberMap"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Ref from "effect/Ref"
import * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as DurableQueue from "effect/workflow/DurableQueue"
import * as Workflow from "effect/workflow/Workflow"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Gateway } from "../src/Gateway.ts"
import { TestAgent, TestGateway } from "../src/testing/index.ts"
import { cluster, runner, whereAre } from "./choosingCluster.ts"

/** A gateway whose messages are turns at once, so that only the need under test is about time. */
const gateway = (agent: TestAgent.TestAgent, filename?: string) =>
  TestGateway.make(
    { agents: { main: agent.agent }, debounce: { quiet: 0 } },
    filename === undefined ? {} : { filename }
  )

const say = (text: string, conversation = "kim") =>
  Gateway.use((gateway) => gateway.accept({ conversation, sender: "kim", text }))

const answers = (count: number, conversation = "kim") =>
  Gateway.use((gateway) =>
    Effect.map(Stream.runCollect(Stream.take(gateway.replies(conversation), count)), (replies) =>
      replies.map((reply) => reply.text)
    )
  )

/** Fails a run; returns when its end is stored. */
const fail = (run: TestAgent.Run) =>
  Effect.gen(function* () {
    const gateway = yield* Gateway
    const ends = Stream.filter(gateway.progress("kim"), (event) => event._tag === "TurnEnded")
    const ended = yield* Effect.forkChild(Stream.runHead(ends), { startImmediately: true })
    yield* run.fail()
    yield* Fiber.join(ended)
  })

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-choosing-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

describe("FiberMap", () => {
  it.effect("FiberMap is right for work that is worth nothing after its process; Sluice would run it again", () => {
    // A live view: whoever looks is gone when the process is.
    const agent = TestAgent.make()
    return Effect.gen(function* () {
      const views = yield* Scope.make()
      const started: Array<string> = []
      const view = (name: string) =>
        Effect.andThen(
          Effect.sync(() => started.push(name)),
          Effect.never
        )
      const map = yield* Scope.provide(FiberMap.make<string>(), views)
      yield* FiberMap.run(map, "kim", view("first page"))
      yield* FiberMap.run(map, "kim", view("second page"))
      yield* Scope.close(views, Exit.void)
      assert.deepStrictEqual(started, ["first page", "second page"])
      assert.strictEqual(yield* FiberMap.size(map), 0)

      const path = join(yield* folder, "store.db")
      const first = yield* Scope.make()
      const context = yield* Layer.buildWithScope(gateway(agent, path), first)
      yield* Effect.provide(say("first page"), context)
      yield* agent.run(1)
      yield* Effect.forkChild(Scope.close(first, Exit.void))
      yield* TestClock.adjust("1 minute")
      yield* Effect.gen(function* () {
        const again = yield* agent.run(2)
        assert.deepStrictEqual([again.turn.text, again.turn.attempt], ["first page", 2])
        yield* again.finish("nobody looks")
      }).pipe(Effect.provide(gateway(agent, path)))
    })
  })

  it.effect("FiberMap is wrong when each message needs its answer: the next run ends the one before", () => {
    const agent = TestAgent.make()
    return Effect.gen(function* () {
      const answered: Array<string> = []
      const gate = yield* Latch.make()
      const answer = (text: string) =>
        Effect.andThen(
          gate.await,
          Effect.sync(() => answered.push(text))
        )
      const map = yield* FiberMap.make<string>()
      yield* FiberMap.run(map, "kim", answer("first"))
      yield* FiberMap.run(map, "kim", answer("second"))
      yield* FiberMap.run(map, "kim", answer("third"), { onlyIfMissing: true })
      yield* gate.open
      yield* FiberMap.awaitEmpty(map)
      assert.deepStrictEqual(answered, ["second"])

      yield* say("first")
      const first = yield* agent.run(1)
      yield* say("second")
      yield* say("third")
      yield* first.finish("answer to the first")
      const next = yield* agent.run(2)
      yield* next.finish(`answer to ${next.turn.text.replace("\n", " and ")}`)
      assert.deepStrictEqual(yield* answers(2), ["answer to the first", "answer to second and third"])
    }).pipe(Effect.provide(gateway(agent)))
  })

  it.effect(
    "FiberMap is wrong when two runs of a key must never overlap: the new one starts while the old one lets go",
    () => {
      const agent = TestAgent.make({ resume: "restart" })
      return Effect.gen(function* () {
        const letGo = yield* Latch.make()
        const owners = yield* Ref.make(0)
        const most = yield* Ref.make(0)
        const own = Effect.acquireRelease(
          Effect.flatMap(
            Ref.updateAndGet(owners, (n) => n + 1),
            (now) => Ref.update(most, (n) => Math.max(n, now))
          ),
          () =>
            Effect.andThen(
              letGo.await,
              Ref.update(owners, (n) => n - 1)
            )
        )
        const map = yield* FiberMap.make<string>()
        const run = Effect.scoped(Effect.andThen(own, Effect.never))
        yield* FiberMap.run(map, "kim", run)
        yield* FiberMap.run(map, "kim", run)
        yield* Effect.yieldNow
        assert.strictEqual(yield* Ref.get(most), 2)
        yield* letGo.open

        yield* say("first")
        yield* agent.run(1)
        yield* say("/stop")
        yield* say("second")
        yield* (yield* agent.run(2)).finish("done")
        yield* Gateway.use((gateway) => gateway.settled("kim"))
        assert.deepStrictEqual(agent.overlaps, [])
      }).pipe(Effect.provide(gateway(agent)), Effect.scoped)
    }
  )
})

const Job = Schema.Struct({ text: Schema.String })
const queues = PersistedQueue.layer.pipe(Layer.provide(PersistedQueue.layerStoreMemory))

describe("PersistedQueue", () => {
  it.effect("PersistedQueue is right for jobs of their own: one that fails holds up no other; a session does", () => {
    const agent = TestAgent.make()
    return Effect.gen(function* () {
      const done: Array<string> = []
      const jobs = yield* PersistedQueue.make({ name: "thumbnails", schema: Job })
      yield* jobs.offer({ text: "broken" })
      yield* jobs.offer({ text: "whole" })
      const work = jobs.take((job) =>
        job.text === "broken" ? Effect.fail("broken") : Effect.sync(() => done.push(job.text))
      )
      assert.isTrue(Exit.isFailure(yield* Effect.exit(work)))
      yield* work
      assert.deepStrictEqual(done, ["whole"])

      yield* say("broken")
      const broken = yield* agent.run(1)
      yield* say("whole")
      yield* fail(broken)
      // The backoff keeps the head of the line: "whole" waits for it.
      yield* TestClock.adjust("1900 millis")
      assert.deepStrictEqual(
        agent.runs.map((run) => run.turn.text),
        ["broken"]
      )
      yield* TestClock.adjust("100 millis")
      const again = yield* agent.run(2)
      assert.strictEqual(again.turn.text, "broken")
      yield* again.finish("mended")
      yield* (yield* agent.run(3)).finish("whole")
      assert.deepStrictEqual(yield* answers(2), ["mended", "whole"])
    }).pipe(Effect.provide(Layer.merge(queues, gateway(agent))))
  })

  it.effect(
    "PersistedQueue is wrong for a conversation: what failed is overtaken, and each message is a run of its own",
    () => {
      const agent = TestAgent.make()
      return Effect.gen(function* () {
        const seen: Array<string> = []
        const chat = yield* PersistedQueue.make({ name: "kim", schema: Job })
        for (const text of ["book a table", "for four", "on Friday"]) yield* chat.offer({ text })
        const answer = chat.take((job, { attempts }) =>
          job.text === "book a table" && attempts === 1
            ? Effect.fail("try again")
            : Effect.sync(() => seen.push(job.text))
        )
        assert.isTrue(Exit.isFailure(yield* Effect.exit(answer)))
        yield* answer
        yield* answer
        const retried = yield* Effect.forkChild(answer, { startImmediately: true })
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(retried)
        assert.deepStrictEqual(seen, ["for four", "on Friday", "book a table"])

        yield* say("hello")
        const hello = yield* agent.run(1)
        for (const text of ["book a table", "for four", "on Friday"]) yield* say(text)
        yield* hello.finish("hello")
        const once = yield* agent.run(2)
        yield* fail(once)
        yield* TestClock.adjust("2 seconds")
        const again = yield* agent.run(3)
        assert.deepStrictEqual([again.turn.text, again.turn.attempt], ["book a table\nfor four\non Friday", 2])
        yield* again.finish("booked")
        assert.deepStrictEqual(yield* answers(2), ["hello", "booked"])
      }).pipe(Effect.provide(Layer.merge(queues, gateway(agent))))
    }
  )
})

class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { left: Schema.Int }) {}

const Reserve = DurableQueue.make({
  name: "reserve",
  payload: { order: Schema.String, pieces: Schema.Int },
  success: Schema.Int,
  error: OutOfStock,
  idempotencyKey: ({ order }) => order
})

const Order = Workflow.make("Order", {
  payload: { order: Schema.String, pieces: Schema.Int },
  success: Schema.String,
  idempotencyKey: ({ order }) => order
})

const orders = Order.toLayer((payload) =>
  DurableQueue.process(Reserve, payload).pipe(
    Effect.map((left) => `reserved, ${left} left`),
    Effect.catchTag("OutOfStock", ({ left }) => Effect.succeed(`only ${left} left, ask the customer`))
  )
)

describe("DurableQueue", () => {
  it.effect(
    "DurableQueue is right when a workflow goes on with a typed result; Sluice tells a person, not a program",
    () => {
      const agent = TestAgent.make()
      const stock = DurableQueue.worker(Reserve, ({ pieces }) =>
        pieces > 3 ? Effect.fail(new OutOfStock({ left: 3 })) : Effect.succeed(3 - pieces)
      )
      return Effect.gen(function* () {
        assert.strictEqual(yield* Order.execute({ order: "a", pieces: 2 }), "reserved, 1 left")
        assert.strictEqual(yield* Order.execute({ order: "b", pieces: 5 }), "only 3 left, ask the customer")

        yield* say("five pieces")
        yield* (yield* agent.run(1)).fail("Rejected")
        yield* Gateway.use((gateway) => gateway.settled("kim"))
        const [sentence] = yield* answers(1)
        assert.match(sentence ?? "", /^I can't answer this as it is\. Please put it differently\. \([0-9a-z]{4}\)$/)
      }).pipe(
        Effect.provide(Layer.merge(Layer.mergeAll(orders, stock).pipe(Layer.provideMerge(engine)), gateway(agent)))
      )
    }
  )

  it.effect(
    "DurableQueue is wrong for an agent that can break: the first failure is the result, and nobody tries again",
    () => {
      const agent = TestAgent.make()
      let tries = 0
      const breaks = DurableQueue.worker(Reserve, () =>
        ++tries === 1 ? Effect.fail(new OutOfStock({ left: 0 })) : Effect.succeed(1)
      )
      return Effect.gen(function* () {
        assert.strictEqual(yield* Order.execute({ order: "a", pieces: 2 }), "only 0 left, ask the customer")
        assert.strictEqual(yield* Order.execute({ order: "a", pieces: 2 }), "only 0 left, ask the customer")
        assert.strictEqual(tries, 1)

        yield* say("two pieces")
        yield* fail(yield* agent.run(1))
        yield* TestClock.adjust("2 seconds")
        yield* (yield* agent.run(2)).finish("reserved")
        assert.deepStrictEqual(yield* answers(1), ["reserved"])
      }).pipe(
        Effect.provide(Layer.merge(Layer.mergeAll(orders, breaks).pipe(Layer.provideMerge(engine)), gateway(agent)))
      )
    }
  )
})

const engine = Layer.merge(WorkflowEngine.layerMemory, queues)

const Say = Rpc.make("Say", { payload: { text: Schema.String }, success: Schema.Int })
const Room = Entity.make("Room", [Say])

describe("Entity", () => {
  it.effect(
    "a cluster Entity is right when each caller needs a result of its own; a session answers what waits at once",
    () => {
      const agent = TestAgent.make()
      const counting = Room.toLayer(
        Effect.gen(function* () {
          const count = yield* Ref.make(0)
          return Room.of({ Say: () => Ref.updateAndGet(count, (n) => n + 1) })
        })
      )
      return Effect.gen(function* () {
        const client = yield* (yield* Entity.makeTestClient(Room, counting))("kim")
        const calls = ["a", "b", "c"].map((text) => client.Say({ text }))
        assert.deepStrictEqual(yield* Effect.all(calls, { concurrency: "unbounded" }), [1, 2, 3])

        yield* say("busy")
        const busy = yield* agent.run(1)
        for (const text of ["a", "b", "c"]) yield* say(text)
        yield* busy.finish("done")
        const next = yield* agent.run(2)
        assert.strictEqual(next.turn.text, "a\nb\nc")
        yield* next.finish("one answer")
        assert.deepStrictEqual(yield* answers(2), ["done", "one answer"])
      }).pipe(Effect.provide(Layer.merge(ShardingConfig.layer(), gateway(agent))), Effect.scoped)
    }
  )

  it.effect("a cluster Entity is wrong when the one who asked may leave: its request goes with it", () => {
    const agent = TestAgent.make()
    return Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const cut = yield* Deferred.make<void>()
      const answering = Room.toLayer({
        Say: () =>
          Deferred.succeed(asked, undefined).pipe(
            Effect.andThen(Effect.never),
            Effect.onInterrupt(() => Deferred.succeed(cut, undefined))
          )
      })
      const client = yield* (yield* Entity.makeTestClient(Room, answering))("kim")
      const caller = yield* Effect.forkChild(client.Say({ text: "are you there?" }))
      yield* Deferred.await(asked)
      yield* Fiber.interrupt(caller)
      yield* Deferred.await(cut)

      const leaving = yield* Effect.forkChild(say("are you there?"))
      const run = yield* agent.run(1)
      yield* Fiber.interrupt(leaving)
      yield* run.finish("yes")
      assert.deepStrictEqual(yield* answers(1), ["yes"])
    }).pipe(Effect.provide(Layer.merge(ShardingConfig.layer(), gateway(agent))), Effect.scoped)
  })

  it.effect("a cluster Entity is right for more than one process; a second gateway on one store does not start", () => {
    const rooms = Array.from({ length: 8 }, (_, index) => `room ${index}`)
    return Effect.gen(function* () {
      const shared = yield* Layer.build(cluster)
      const one = yield* Layer.build(runner(shared, 1))
      const two = yield* Layer.build(runner(shared, 2))
      yield* TestClock.adjust("20 seconds")
      // Each room lives on one of the two, and both find it there.
      const fromOne = yield* Effect.forkChild(Effect.provide(whereAre(rooms), one))
      const fromTwo = yield* Effect.forkChild(Effect.provide(whereAre(rooms), two))
      yield* TestClock.adjust("1 minute")
      const homes = yield* Fiber.join(fromOne)
      assert.deepStrictEqual(yield* Fiber.join(fromTwo), homes)
      assert.deepStrictEqual(
        [...new Set(homes)].toSorted((a, b) => a - b),
        [1, 2]
      )

      const path = join(yield* folder, "store.db")
      yield* Layer.build(gateway(TestAgent.make(), path))
      const refused = yield* Effect.flip(Layer.build(gateway(TestAgent.make(), path)))
      assert.deepInclude(refused, { _tag: "JournalError", reason: "Locked" })
    }).pipe(Effect.scoped)
  })
})
