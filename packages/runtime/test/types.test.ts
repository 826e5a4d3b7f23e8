// What the compiler holds a host to: the needs of its agents and channels are needs of the gateway's layer, so a missing
// one is an error at compile time and not at the first message.
// @effect-diagnostics missingLayerContext:off
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Agent from "../src/Agent.ts"
import * as Channel from "../src/Channel.ts"
import { Gateway, type NeedsOf } from "../src/Gateway.ts"
import { TestGateway } from "../src/testing/index.ts"
import { meanwhile } from "./guarantees/boots.ts"

class Model extends Context.Service<Model, { readonly ask: (text: string) => Effect.Effect<string> }>()("test/Model") {}
class Mail extends Context.Service<Mail, { readonly send: (text: string) => Effect.Effect<void> }>()("test/Mail") {}
class Clerk extends Context.Service<Clerk, { readonly name: string }>()("test/Clerk") {}

// oxlint-disable-next-line no-unnecessary-type-parameters
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
// oxlint-disable-next-line no-unnecessary-type-parameters
const proves = <_T extends true>() => {}

const modelAgent = Agent.fromFunction((turn) => Model.use((model) => model.ask(turn.text)))
const clerkAgent = Agent.make({
  open: () => Effect.map(Clerk, ({ name }) => ({ answer: () => Stream.make(Agent.text(name)) }))
})
const scopedAgent = Agent.make({
  open: () =>
    Effect.as(
      Effect.addFinalizer(() => Effect.void),
      { answer: () => Stream.make(Agent.text("scoped")) }
    )
})
const mailChannel = Channel.make({
  delivery: Channel.keyed((reply) => Effect.as(Effect.orDie(Mail.use((mail) => mail.send(reply.text))), {})),
  receive: ({ ready }) => Effect.andThen(ready, Effect.never)
})
const clerkChannel = Channel.make({
  delivery: Channel.pull,
  receive: ({ ready }) => Effect.andThen(Clerk, Effect.andThen(ready, Effect.never))
})

const model = Layer.succeed(Model, Model.of({ ask: (text) => Effect.succeed(`model: ${text}`) }))
const mail = Layer.succeed(Mail, Mail.of({ send: () => Effect.void }))
const clerk = Layer.succeed(Clerk, Clerk.of({ name: "Bo" }))

describe("types", () => {
  it("needs: those of every agent and channel, and no scope", () => {
    const options = {
      agents: { main: modelAgent, clerk: clerkAgent, scoped: scopedAgent },
      channels: { mail: mailChannel, desk: clerkChannel }
    } as const
    proves<Equal<NeedsOf<typeof options>, Model | Clerk | Mail>>()
    proves<Equal<Agent.Needs<typeof modelAgent>, Model>>()
    proves<Equal<Agent.Needs<typeof scopedAgent>, never>>()
    proves<Equal<Channel.Needs<typeof mailChannel>, Mail>>()
    proves<Equal<NeedsOf<{ readonly agents: { readonly main: Agent.Agent } }>, never>>()
    assert.deepStrictEqual(Object.keys(options.agents), ["main", "clerk", "scoped"])
  })

  it("a missing need is an error of the compiler: of an agent, of its opening, of a delivery, of a receiving", () => {
    const run = <A, E>(layer: Layer.Layer<A, E>) => Layer.isLayer(layer)
    assert.isTrue(run(TestGateway.make({ agents: { main: scopedAgent } })))
    // @ts-expect-error the agent's answers need Model
    assert.isTrue(run(TestGateway.make({ agents: { main: modelAgent } })))
    // @ts-expect-error the agent's opening needs Clerk
    assert.isTrue(run(TestGateway.make({ agents: { main: clerkAgent } })))
    // @ts-expect-error the channel's deliveries need Mail
    assert.isTrue(run(TestGateway.make({ agents: { main: scopedAgent }, channels: { mail: mailChannel } })))
    // @ts-expect-error the channel's receiving needs Clerk
    assert.isTrue(run(TestGateway.make({ agents: { main: scopedAgent }, channels: { desk: clerkChannel } })))
    // @ts-expect-error one of two is not enough
    assert.isTrue(run(TestGateway.make({ agents: { a: modelAgent, b: clerkAgent } }).pipe(Layer.provide(model))))
    const both = TestGateway.make({ agents: { a: modelAgent, b: clerkAgent } }).pipe(
      Layer.provide(Layer.mergeAll(model, clerk))
    )
    assert.isTrue(run(both))
  })

  it("an option that there is not, and a value that is none of a choice, are errors of the compiler", () => {
    // @ts-expect-error not a mode
    TestGateway.make({ agents: { main: scopedAgent }, queue: { mode: "sideways" } })
    // @ts-expect-error not an agent
    TestGateway.make({ agents: { main: "claude" } })
    // @ts-expect-error a delivery states its policy
    Channel.ambiguous("maybe", () => Effect.succeed({}))
    assert.isFunction(TestGateway.make)
  })

  it.effect("what was provided is what agents and channels are given", () =>
    Effect.gen(function* () {
      const gateway = yield* Gateway
      yield* gateway.accept({ conversation: "kim", sender: "kim", text: "hello" })
      yield* meanwhile(gateway.settled("kim"))
      const [reply] = yield* Stream.runCollect(Stream.take(gateway.replies("kim"), 1))
      assert.strictEqual(reply?.text, "model: hello")
    }).pipe(
      Effect.provide(
        TestGateway.make({ agents: { main: modelAgent }, channels: { mail: mailChannel, desk: clerkChannel } }).pipe(
          Layer.provide(Layer.mergeAll(model, mail, clerk))
        )
      )
    )
  )
})
