// One channel by itself: what goes wrong with it, or is done to it by hand, is told of it and concerns nobody else.
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import * as Channel from "../src/Channel.ts"
import { Gateway } from "../src/Gateway.ts"
import { TestAgent, TestChannel, TestGateway } from "../src/testing/index.ts"
import { meanwhile } from "./guarantees/boots.ts"

const { ChannelError } = Channel

/** A channel whose receiving ends as the test says, try by try; afterwards it goes on. */
const failing = (far: TestChannel.TestChannel, ...errors: ReadonlyArray<Channel.ChannelError | Error>) => {
  const left = [...errors]
  return {
    ...far.channel,
    receive: (handle: Channel.Handle) =>
      Effect.suspend(() => {
        const next = left.shift()
        if (next === undefined) return far.channel.receive(handle)
        return next instanceof ChannelError ? Effect.fail(next) : Effect.die(next)
      })
  } satisfies Channel.Channel
}

const refused = new ChannelError({ channel: "chat", reason: "the token was refused (401)", refused: true })
const away = new ChannelError({ channel: "chat", reason: "no connection" })

const started = Effect.fnUntraced(function* (channels: Readonly<Record<string, Channel.Channel>>) {
  const agent = TestAgent.echo()
  const context = yield* meanwhile(
    Layer.build(TestGateway.make({ agents: { main: agent.agent }, channels, debounce: { quiet: 0 } })),
    { step: 100 }
  )
  const gateway = Context.get(context, Gateway)
  const state = (name: string) =>
    Effect.map(gateway.channels.list, (all) => all.find((channel) => channel.name === name))
  return { gateway, state }
})

const settled = (gateway: Gateway["Service"], key: string) => meanwhile(gateway.settled(key))

describe("channels", () => {
  it.effect("one that is away is told with its reason and its next try, and the others go on", () =>
    Effect.gen(function* () {
      const [chat, push] = [TestChannel.make({ class: "edit" }), TestChannel.make({ class: "keyed" })]
      const { gateway, state } = yield* started({ chat: failing(chat, away, away, away), push: push.channel })
      yield* push.say("lee", "a")
      yield* settled(gateway, "push/lee")
      assert.deepStrictEqual(push.seen("lee"), ["a"])
      const found = yield* state("chat")
      assert.deepInclude(found, { name: "chat", delivery: "edit", state: "down" })
      assert.match(found?.problems.join() ?? "", /^no connection; tried again in \d s$/)
      assert.deepInclude(yield* state("push"), { state: "up", problems: [], waiting: 0 })
      const { channels, problems, ready } = yield* gateway.readiness
      assert.deepStrictEqual([ready, problems.length, channels.length], [false, 1, 2])
      yield* TestClock.adjust("10 seconds")
      const back = yield* state("chat")
      assert.deepInclude(back, { state: "up", problems: [] })
      assert.strictEqual(back?.lastError?.reason, "no connection")
      assert.isTrue((yield* gateway.readiness).ready)
    })
  )

  it.effect("a poller that can't receive makes the gateway not ready, is tried again, and nobody waits for it", () => {
    const far = TestChannel.make({ class: "keyed" })
    let broken = true
    const tries: Array<number> = []
    const flaky = Channel.make({
      delivery: Channel.pull,
      receive: ({ ready }) =>
        Effect.suspend(() => {
          tries.push(tries.length)
          return broken
            ? Effect.fail(new Channel.ChannelError({ channel: "flaky", reason: "no route" }))
            : Effect.andThen(ready, Effect.never)
        })
    })
    const agent = TestAgent.echo()
    return Effect.gen(function* () {
      const built = yield* Effect.forkChild(
        Effect.provide(
          Effect.gen(function* () {
            const gateway = yield* Gateway
            const { problems, ready } = yield* gateway.readiness
            assert.isFalse(ready)
            assert.match(problems[0] ?? "", /^channel "flaky": no route; tried again in \d+ s$/)
            yield* far.say("kim", "a")
            yield* meanwhile(gateway.settled("chat/kim"))
            broken = false
            yield* TestClock.adjust("1 minutes")
            assert.isTrue((yield* gateway.readiness).ready)
          }),
          TestGateway.make({
            agents: { main: agent.agent },
            channels: { chat: far.channel, flaky },
            debounce: { quiet: 0 }
          })
        ),
        { startImmediately: true }
      )
      // Others receive while this one is still being started.
      yield* far.started
      yield* meanwhile(Fiber.join(built))
      // After 1, 2, 4 and 8 s, and once more after it was mended.
      assert.isAtMost(tries.length, 6)
      assert.deepStrictEqual(far.seen("kim"), ["a"])
    })
  })

  it.effect("one that is refused is tried again after longer waits than one that is away", () =>
    Effect.gen(function* () {
      const [chat, other] = [TestChannel.make({ class: "edit" }), TestChannel.make({ class: "edit" })]
      const times = <A>(count: number, error: A) => Array.from({ length: count }, () => error)
      const { state } = yield* started({
        chat: failing(chat, ...times(100, refused)),
        other: failing(other, ...times(100, away))
      })
      yield* TestClock.adjust("1 hour")
      assert.isAtMost((yield* state("other"))?.retryIn ?? 0, 60_000)
      assert.isAtMost((yield* state("chat"))?.retryIn ?? 0, 300_000)
      const again = (yield* state("chat"))?.since
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* state("chat"))?.since, again, "down since the first time")
    })
  )

  it.effect("an expected failure is one line without a stack, however often it comes; a defect says where it was", () =>
    Effect.gen(function* () {
      const lines: Array<{ readonly level: string; readonly text: string }> = []
      const logger = Logger.make(({ cause, logLevel, message }) => {
        lines.push({ level: logLevel, text: `${String(message)} ${cause.reasons.length === 0 ? "" : "with a cause"}` })
      })
      const chat = TestChannel.make({ class: "edit" })
      const channel = failing(chat, refused, refused, refused, new Error("no such property"))
      yield* Effect.gen(function* () {
        const { state } = yield* started({ chat: channel })
        yield* TestClock.adjust("2 minutes")
        assert.deepInclude(yield* state("chat"), { state: "up" })
      }).pipe(Effect.provide(Logger.layer([logger])))
      const told = lines.filter(({ text }) => text.startsWith("A channel can't receive"))
      assert.deepStrictEqual(
        told.map(({ level, text }) => [level, text.includes("cause")]),
        [
          ["Warn", false],
          ["Error", true]
        ]
      )
    })
  )

  it.effect("W3: credentials that are accepted again are found out by one reply, without a reload", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const { gateway, state } = yield* started({ chat: chat.channel })
      chat.otherwise("unauthorized")
      for (const peer of ["kim", "lee", "max"]) yield* chat.say(peer, "a")
      yield* meanwhile(chat.requested(1))
      yield* TestClock.adjust("1 second")
      const begun = chat.requests.length
      const found = yield* state("chat")
      assert.deepInclude(found, { state: "degraded", waiting: 3 })
      assert.match(found?.problems.join() ?? "", /^nothing is sent: token revoked; tried again in \d+ s$/)
      yield* TestClock.adjust("10 minutes")
      // 30 s, 60 s, 2 min, 4 min: one request each.
      assert.strictEqual(chat.requests.length - begun, 4)
      chat.otherwise("answer")
      yield* TestClock.adjust("5 minutes")
      for (const peer of ["kim", "lee", "max"]) {
        yield* settled(gateway, `chat/${peer}`)
        assert.lengthOf(chat.seen(peer), 1)
      }
      assert.deepInclude(yield* state("chat"), { state: "up", problems: [] })
    })
  )

  it.effect("a channel that receives again sends again", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const revoked = yield* Deferred.make<never, Channel.ChannelError>()
      let revocable = true
      const channel = Channel.make({
        delivery: chat.channel.delivery,
        receive: (handle) =>
          Effect.raceFirst(chat.channel.receive(handle), revocable ? Deferred.await(revoked) : Effect.never)
      })
      const { gateway, state } = yield* started({ chat: channel })
      chat.otherwise("unauthorized")
      yield* chat.say("kim", "a")
      yield* meanwhile(chat.requested(1))
      yield* Deferred.fail(revoked, refused)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* state("chat"), { state: "down" })
      assert.lengthOf((yield* state("chat"))?.problems ?? [], 2)
      chat.otherwise("answer")
      revocable = false
      yield* TestClock.adjust("5 seconds")
      yield* settled(gateway, "chat/kim")
      assert.deepStrictEqual(chat.seen("kim"), ["a"])
      assert.deepInclude(yield* state("chat"), { state: "up", problems: [] })
    })
  )

  it.effect("one whose platform has trouble with it is degraded until that is over", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const { gateway, state } = yield* started({ chat: chat.channel })
      const handle = yield* chat.started
      yield* handle.trouble("calls don't get through")
      assert.deepInclude(yield* state("chat"), { state: "degraded", problems: ["calls don't get through"] })
      assert.include((yield* gateway.readiness).problems.join(), "calls don't get through")
      yield* handle.trouble(undefined)
      assert.deepInclude(yield* state("chat"), { state: "up", problems: [] })
    })
  )

  it.effect(
    "D8: one that was stopped by hand takes and sends nothing, loses nothing, and goes on when it is started",
    () =>
      Effect.gen(function* () {
        const [chat, push] = [TestChannel.make({ class: "keyed" }), TestChannel.make({ class: "keyed" })]
        const { gateway, state } = yield* started({ chat: chat.channel, push: push.channel })
        const handle = yield* chat.started
        assert.deepInclude(yield* gateway.channels.stop("chat"), { state: "stopped", problems: [] })
        assert.deepInclude(yield* gateway.channels.stop("chat"), { state: "stopped" })
        // What came in before is answered, and the answer waits.
        yield* handle.accept({ conversation: "kim", sender: "kim", text: "a" })
        yield* settled(gateway, "chat/kim")
        yield* push.say("lee", "b")
        yield* settled(gateway, "push/lee")
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual([chat.seen("kim"), push.seen("lee")], [[], ["b"]])
        assert.deepInclude(yield* state("chat"), { state: "stopped", waiting: 1 })
        const { notes, ready } = yield* gateway.readiness
        assert.isTrue(ready)
        assert.deepStrictEqual(notes, [`channel "chat" was stopped by hand`])
        assert.deepInclude(yield* gateway.channels.start("chat"), { state: "up" })
        assert.deepInclude(yield* gateway.channels.start("chat"), { state: "up" })
        yield* settled(gateway, "chat/kim")
        assert.lengthOf(chat.seen("kim"), 1)
        yield* chat.say("kim", "c")
        yield* settled(gateway, "chat/kim")
        assert.lengthOf(chat.seen("kim"), 2)
      })
  )

  it.effect("a reload that leaves a stopped one as it is leaves it stopped; one that changes it starts it", () =>
    Effect.gen(function* () {
      const chat = TestChannel.make({ class: "keyed" })
      const { gateway, state } = yield* started({ chat: chat.channel })
      const agents = { main: TestAgent.echo().agent }
      yield* gateway.channels.stop("chat")
      yield* gateway.reload({ agents, channels: { chat: chat.channel } })
      assert.deepInclude(yield* state("chat"), { state: "stopped" })
      yield* gateway.reload({ agents, channels: { chat: { ...chat.channel } } })
      assert.deepInclude(yield* state("chat"), { state: "up" })
      yield* chat.say("kim", "a")
      yield* settled(gateway, "chat/kim")
      assert.deepStrictEqual(chat.seen("kim"), ["a"])
    })
  )

  it.effect("a reload that changes one channel, for better or worse, leaves the receiving of the others alone", () =>
    Effect.gen(function* () {
      const [chat, push] = [TestChannel.make({ class: "keyed" }), TestChannel.make({ class: "keyed" })]
      const lives = { begun: 0, ended: 0 }
      const counted: Channel.Channel = {
        ...push.channel,
        receive: (handle) =>
          Effect.suspend(() => {
            lives.begun++
            return Effect.ensuring(
              push.channel.receive(handle),
              Effect.sync(() => void lives.ended++)
            )
          })
      }
      const { gateway, state } = yield* started({ chat: chat.channel, push: counted })
      const agents = { main: TestAgent.echo().agent }
      const since = (yield* state("push"))?.since
      yield* TestClock.adjust("1 minute")
      const changes = [
        { ...chat.channel },
        failing(chat, refused, refused),
        failing(chat, new Error("no such property"))
      ]
      for (const changed of changes) {
        yield* meanwhile(gateway.reload({ agents, channels: { chat: changed, push: counted } }), { step: 100 })
        yield* push.say("lee", "still here")
        yield* settled(gateway, "push/lee")
      }
      yield* meanwhile(gateway.reload({ agents, channels: { push: counted } }), { step: 100 })
      assert.deepStrictEqual(lives, { begun: 1, ended: 0 })
      assert.strictEqual((yield* state("push"))?.since, since)
      assert.lengthOf(push.seen("lee"), 3)
    })
  )

  it.effect("one that does not exist can be neither stopped nor started, and nor can the host's own", () =>
    Effect.gen(function* () {
      const { gateway } = yield* started({ chat: TestChannel.make({ class: "keyed" }).channel })
      for (const name of ["host", "fax"]) {
        const error = yield* Effect.flip(gateway.channels.stop(name))
        assert.deepInclude(error, {
          field: `channels.${name}`,
          value: "is not configured",
          remedy: "name one of: chat"
        })
        assert.strictEqual((yield* Effect.flip(gateway.channels.start(name))).value, "is not configured")
      }
    })
  )
})
