// What changes while everything runs: agents from a session's next turn on, channels one after the other, each back in
// its old form when the new one does not come up. What is owed to somebody who is not configured is kept and said once.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Channel from "../src/Channel.ts"
import { Gateway } from "../src/Gateway.ts"
import { TestAgent, TestChannel, TestGateway } from "../src/testing/index.ts"
import { boot, given, meanwhile, world } from "./guarantees/boots.ts"

const chat = () => TestChannel.make({ class: "keyed" })

/** A gateway over a store in memory with these agents and channels. */
const running = <A, E>(
  agents: Readonly<Record<string, TestAgent.TestAgent>>,
  channels: Readonly<Record<string, Channel.Channel>>,
  test: (gateway: Gateway["Service"]) => Effect.Effect<A, E>
) =>
  Effect.flatMap(Gateway, test).pipe(
    Effect.provide(TestGateway.make({ agents: agentsOf(agents), channels, debounce: { quiet: 0 } }))
  )

const agentsOf = (agents: Readonly<Record<string, TestAgent.TestAgent>>) =>
  Object.fromEntries(Object.entries(agents).map(([name, { agent }]) => [name, agent]))

const ticks = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

describe("agents", () => {
  it.effect(
    "a running turn keeps its agent, the next one has the new: the old one is closed before that is opened",
    () => {
      const far = chat()
      const old = TestAgent.make()
      const fresh = TestAgent.make({
        onOpen: () => Effect.sync(() => assert.deepStrictEqual([...old.open], []))
      })
      return running({ main: old }, { chat: far.channel }, (gateway) =>
        Effect.gen(function* () {
          yield* far.say("kim", "a")
          const run = yield* old.run(1)
          const lines = yield* gateway.reload({ agents: agentsOf({ main: fresh }), channels: { chat: far.channel } })
          assert.deepStrictEqual(lines, ['agent "main" has changed'])
          yield* far.say("kim", "b")
          yield* run.finish("A")
          yield* (yield* fresh.run(1)).finish("B")
          yield* meanwhile(gateway.settled("chat/kim"))
          assert.deepStrictEqual([given(old), given(fresh)], [["a"], ["b"]])
          assert.deepStrictEqual(
            far.seen("kim").filter((text) => text.length === 1),
            ["A", "B"]
          )
        })
      )
    }
  )

  it.effect("an agent that stays is not closed by a reload", () => {
    const far = chat()
    const agent = TestAgent.echo()
    return running({ main: agent }, { chat: far.channel }, (gateway) =>
      Effect.gen(function* () {
        yield* far.say("kim", "a")
        yield* meanwhile(gateway.settled("chat/kim"), { step: 0 })
        const more = { agents: agentsOf({ main: agent, other: TestAgent.echo() }), channels: { chat: far.channel } }
        assert.deepStrictEqual(yield* gateway.reload(more), ['agent "other" is new'])
        assert.deepStrictEqual(yield* gateway.reload(more), [])
        assert.deepStrictEqual(yield* gateway.reload({ ...more, personas: { default: { agent: "main" } } }), [
          'persona "default" is new'
        ])
        yield* far.say("kim", "b")
        yield* meanwhile(gateway.settled("chat/kim"), { step: 0 })
        assert.strictEqual(agent.opened(), 1)
        // What it is told when it is opened has changed: also one that is kept warm hears it at its next turn.
        assert.deepStrictEqual(
          yield* gateway.reload({ ...more, personas: { default: { agent: "main", systemPrompt: "Be brief." } } }),
          ['persona "default" has changed']
        )
        yield* far.say("kim", "c")
        yield* meanwhile(gateway.settled("chat/kim"), { step: 0 })
        assert.strictEqual(agent.opened(), 2)
      })
    )
  })

  it.effect("a session of an agent that is gone is held: told once, run by no other, answered when it is back", () => {
    const far = chat()
    const [main, coder] = [TestAgent.echo(), TestAgent.make()]
    const channels = { chat: far.channel }
    return running({ coder, main }, channels, (gateway) =>
      Effect.gen(function* () {
        yield* far.say("kim", "a")
        yield* (yield* coder.run(1)).finish("A")
        yield* meanwhile(gateway.settled("chat/kim"), { step: 0 })
        yield* gateway.reload({ agents: agentsOf({ main }), channels })
        yield* far.say("kim", "b")
        yield* far.say("kim", "c")
        yield* meanwhile(far.requested(2))
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(far.seen("kim"), [
          "A",
          `"coder" isn't set up here any more, so this has to wait for it. Your messages are kept; /new starts afresh with another.`
        ])
        assert.deepStrictEqual(given(main), [])
        assert.match((yield* gateway.live)[0]?.held ?? "", /agent "coder"/)
        // A reload that leaves it held says nothing new.
        yield* gateway.reload({ agents: agentsOf({ main, more: main }), channels })
        yield* TestClock.adjust("1 minute")
        assert.lengthOf(far.seen("kim"), 2)
        // Those who are not held go on.
        yield* far.say("bo", "hello")
        yield* meanwhile(gateway.settled("chat/bo"))
        assert.deepStrictEqual(far.seen("bo"), ["hello"])
        yield* gateway.reload({ agents: agentsOf({ main, coder }), channels })
        const run = yield* coder.run(2)
        assert.strictEqual(run.turn.text, "b\nc")
        yield* run.finish("BC")
        yield* meanwhile(gateway.settled("chat/kim"))
        assert.strictEqual(far.seen("kim").at(-1), "BC")
      })
    )
  })

  it.effect("a session that is held says so once, also when the gateway is started again in between", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const coder = TestAgent.make()
      const first = yield* boot(place, {
        agents: { coder: coder.agent },
        personas: { default: { agent: "coder" } }
      })
      yield* first.say("kim", "a")
      yield* (yield* coder.run(1)).finish("A")
      yield* meanwhile(first.gateway.settled("chat/kim"), { step: 0 })
      yield* first.stop
      const far = place.far["chat"] as TestChannel.TestChannel
      for (const text of ["b", "c"]) {
        const later = yield* boot(place)
        yield* later.say("kim", text)
        yield* meanwhile(far.requested(2))
        // Room for one more, if it were said again.
        yield* meanwhile(Effect.sleep("1 minute"))
        assert.lengthOf(far.seen("kim"), 2, text)
        assert.match((yield* later.gateway.live)[0]?.held ?? "", /agent "coder"/)
        yield* later.stop
      }
    })
  )

  it.effect("/stop and /new work in a session that is held, and the fresh one has an agent that there is", () => {
    const far = chat()
    const [main, coder] = [TestAgent.echo(), TestAgent.make()]
    const channels = { chat: far.channel }
    return running({ coder, main }, channels, (gateway) =>
      Effect.gen(function* () {
        yield* far.say("kim", "a")
        yield* (yield* coder.run(1)).finish("A")
        yield* meanwhile(gateway.settled("chat/kim"), { step: 0 })
        yield* gateway.reload({ agents: agentsOf({ main }), channels })
        yield* far.say("kim", "b")
        yield* far.say("kim", "/stop")
        yield* meanwhile(gateway.settled("chat/kim"))
        yield* far.say("kim", "c")
        yield* far.say("kim", "/new")
        yield* far.say("kim", "d")
        yield* meanwhile(gateway.settled("chat/kim"))
        assert.deepStrictEqual(given(main), ["d"])
        const { balanced, detail } = yield* gateway.audit
        assert.deepInclude(detail, { "cancelled(stop)": 1, "cancelled(new)": 1, command: 2, replied: 2 })
        assert.isTrue(balanced)
      })
    )
  })
})

describe("channels", () => {
  it.effect(
    "a channel is exchanged: the old one's receiving has ended before the new one begins, and replies go on",
    () => {
      const order: Array<string> = []
      const [before, after] = [chat(), chat()]
      const logged = (name: string, { channel }: TestChannel.TestChannel) =>
        Channel.make({
          delivery: channel.delivery,
          receive: (handle) =>
            Effect.acquireUseRelease(
              Effect.sync(() => order.push(`${name} begins`)),
              () => channel.receive(handle),
              () =>
                Effect.andThen(
                  ticks,
                  Effect.sync(() => order.push(`${name} ends`))
                )
            )
        })
      const agent = TestAgent.make()
      return running({ main: agent }, { chat: logged("old", before) }, (gateway) =>
        Effect.gen(function* () {
          yield* before.say("kim", "a")
          const run = yield* agent.run(1)
          const lines = yield* meanwhile(
            gateway.reload({ agents: agentsOf({ main: agent }), channels: { chat: logged("new", after) } })
          )
          assert.deepStrictEqual(lines, ['channel "chat" was exchanged'])
          assert.deepStrictEqual(order, ["old begins", "old ends", "new begins"])
          yield* run.finish("A")
          yield* after.requested(1)
          yield* after.say("kim", "b")
          yield* (yield* agent.run(2)).finish("B")
          yield* meanwhile(gateway.settled("chat/kim"))
          assert.deepStrictEqual([before.seen("kim"), after.seen("kim")], [[], ["A", "B"]])
        })
      )
    }
  )

  for (const [what, kind, receive] of [
    ["is not ready in 10 s", "poller", () => Effect.never],
    ["fails", "server", () => Effect.fail(new Channel.ChannelError({ channel: "chat", reason: "port taken" }))],
    [
      "fails again and again",
      "poller",
      () => Effect.fail(new Channel.ChannelError({ channel: "chat", reason: "no net" }))
    ],
    ["dies", "server", () => Effect.die(new Error("boom"))]
  ] as const) {
    it.effect(`a new ${kind} that ${what}: the old one runs again`, () => {
      const far = chat()
      const agent = TestAgent.echo()
      return running({ main: agent }, { chat: far.channel }, (gateway) =>
        Effect.gen(function* () {
          yield* far.started
          const broken = Channel.make({ kind, delivery: far.channel.delivery, receive })
          const lines = yield* meanwhile(
            gateway.reload({ agents: agentsOf({ main: agent }), channels: { chat: broken } }),
            { step: 100 }
          )
          assert.match(lines.join("\n"), /^channel "chat" does not start \(.*\); the old one runs again$/)
          assert.deepInclude(yield* gateway.readiness, { ready: true, problems: [] })
          yield* far.say("kim", "a")
          yield* meanwhile(gateway.settled("chat/kim"))
          assert.deepStrictEqual(far.seen("kim"), ["a"])
        })
      )
    })
  }

  it.effect("a channel that is gone is owed what it is owed, and hears it when it is back", () => {
    const [far, other] = [chat(), chat()]
    const agent = TestAgent.make()
    const agents = agentsOf({ main: agent })
    return running({ main: agent }, { chat: far.channel, other: other.channel }, (gateway) =>
      Effect.gen(function* () {
        yield* far.say("kim", "a")
        const run = yield* agent.run(1)
        yield* far.say("kim", "b")
        const lines = yield* gateway.reload({ agents, channels: { other: other.channel } })
        assert.deepStrictEqual(lines, ['channel "chat" is gone; what it owes is kept'])
        yield* run.finish("A")
        yield* TestClock.adjust("1 minutes")
        assert.deepStrictEqual(given(agent), ["a"])
        assert.isFalse(far.seen("kim").includes("A"))
        assert.isFalse((yield* gateway.readiness).ready)
        yield* other.say("bo", "x")
        yield* (yield* agent.run(2)).finish("X")
        yield* meanwhile(other.requested(1))
        yield* gateway.reload({ agents, channels: { chat: far.channel, other: other.channel } })
        yield* (yield* agent.run(3)).finish("B")
        yield* meanwhile(gateway.settled("chat/kim"))
        assert.deepStrictEqual(
          far.seen("kim").filter((text) => text.length === 1),
          ["A", "B"]
        )
        assert.isTrue((yield* gateway.readiness).ready)
      })
    )
  })

  it.effect("a channel whose credentials were refused is held for them no longer once it is gone", () => {
    const far = chat()
    far.otherwise("unauthorized")
    const agent = TestAgent.echo()
    return running({ main: agent }, { chat: far.channel }, (gateway) =>
      Effect.gen(function* () {
        yield* far.say("kim", "a")
        yield* meanwhile(far.requested(1))
        yield* TestClock.adjust(1)
        const problems = Effect.map(gateway.readiness, (readiness) => readiness.problems.join())
        assert.include(yield* problems, "token revoked")
        yield* gateway.reload({ agents: agentsOf({ main: agent }), channels: {} })
        assert.include(yield* problems, "no channel of this name is configured")
      })
    )
  })

  it.effect("whoever asks for a reload may go away: it is finished all the same", () => {
    const [before, after] = [chat(), chat()]
    const ending = Deferred.makeUnsafe<void>()
    const slow = Channel.make({
      delivery: before.channel.delivery,
      receive: (handle) =>
        Effect.ensuring(before.channel.receive(handle), Effect.andThen(Deferred.succeed(ending, undefined), ticks))
    })
    const agent = TestAgent.echo()
    return running({ main: agent }, { chat: slow }, (gateway) =>
      Effect.gen(function* () {
        // As an admin route does whose own server is being exchanged.
        const asking = yield* Effect.forkChild(
          gateway.reload({ agents: agentsOf({ main: agent }), channels: { chat: after.channel } }),
          { startImmediately: true }
        )
        yield* Deferred.await(ending)
        yield* Effect.forkChild(Fiber.interrupt(asking), { startImmediately: true })
        yield* meanwhile(after.started)
        yield* after.say("kim", "a")
        yield* meanwhile(gateway.settled("chat/kim"))
        assert.deepStrictEqual(after.seen("kim"), ["a"])
      })
    )
  })

  it.effect("a reload that began before a stop starts no channel in it", () => {
    const before = chat()
    const [ending, mayEnd] = [Deferred.makeUnsafe<void>(), Deferred.makeUnsafe<void>()]
    const slow = Channel.make({
      delivery: before.channel.delivery,
      receive: (handle) =>
        Effect.ensuring(
          before.channel.receive(handle),
          Effect.andThen(Deferred.succeed(ending, undefined), Deferred.await(mayEnd))
        )
    })
    let begun = 0
    const late = Channel.make({
      delivery: before.channel.delivery,
      receive: () => Effect.suspend(() => (begun++, Effect.never))
    })
    const agent = TestAgent.echo()
    return running({ main: agent }, { chat: slow }, (gateway) =>
      Effect.gen(function* () {
        const registry = { agents: agentsOf({ main: agent }), channels: { chat: late } }
        const reload = yield* Effect.forkChild(gateway.reload(registry), { startImmediately: true })
        yield* Deferred.await(ending)
        yield* meanwhile(gateway.stop({ reason: "stop" }))
        yield* Deferred.succeed(mayEnd, undefined)
        const lines = yield* meanwhile(Fiber.join(reload))
        assert.deepStrictEqual([lines, begun], [['channel "chat" is not started: the gateway is stopping'], 0])
      })
    )
  })

  it.effect("what can't be taken over changes nothing: it names the field, the value and the remedy", () => {
    const far = chat()
    const agent = TestAgent.echo()
    const agents = agentsOf({ main: agent })
    return running({ main: agent }, { chat: far.channel }, (gateway) =>
      Effect.gen(function* () {
        const wrong = [
          { agents: {} },
          { agents, channels: { "not a name": far.channel } },
          { agents, channels: { host: far.channel } },
          { agents, personas: { planner: { agent: "nobody" } } }
        ]
        const errors = yield* Effect.forEach(wrong, (registry) => Effect.flip(gateway.reload(registry)))
        assert.deepStrictEqual(
          errors.map(({ message }) => message),
          [
            "agents is empty: configure at least one agent",
            "channels.not a name is no name: use letters, digits, - and _",
            "channels.host is taken: choose another name; this one is the host's own",
            'personas.planner.agent is "nobody": name one of the agents: main'
          ]
        )
        yield* far.say("kim", "a")
        yield* meanwhile(gateway.settled("chat/kim"))
        assert.deepStrictEqual(far.seen("kim"), ["a"])
        yield* gateway.stop({ reason: "stop" })
        assert.strictEqual((yield* Effect.flip(gateway.reload({ agents }))).value, "is too late")
      })
    )
  })
})
