/**
 * The gateway under test: the program as it ships, with the channels of the harness,
 * agents that keep something where boundaries are looked at, and its own death at the
 * n-th crossing of a label, all set before the program is loaded. Its environment says:
 * TORTURE_FAR the address of the far sides, TORTURE_LABEL and TORTURE_NTH where it dies,
 * TORTURE_LINGER the milliseconds that it stands there before, TORTURE_STAND a label where
 * it only stands (`boot:resume=250`), TORTURE_CROSSED a file for each label that it crosses.
 */
import type { Agent } from "@sluice/runtime/Agent"
import type { AnyChannel } from "@sluice/runtime/Channel"
import { Gateway, type GatewayOptions, type Registry } from "@sluice/runtime/Gateway"
import type { Reply } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { appendFileSync } from "node:fs"
import process from "node:process"
import { record } from "../../../gateway/src/process/SignalRecorder.ts"
import * as YoungGeneration from "../../../gateway/src/process/YoungGeneration.ts"
import { Boundary, type Label } from "../../../../packages/runtime/src/internal/boundary.ts"
import { channels } from "./channels.ts"
import { answerOf, withMark } from "./sayings.ts"

const recorder = record()
const setting = (name: string) => process.env[name] ?? ""
const far = setting("TORTURE_FAR")
const crossed = setting("TORTURE_CROSSED")
const grave = { label: setting("TORTURE_LABEL"), nth: Number(setting("TORTURE_NTH") || 1) }
const linger = Number(setting("TORTURE_LINGER") || 0)
const [stand = "", standing = "0"] = setting("TORTURE_STAND").split("=")

let hits = 0
/** The kernel ends the process before the call returns. */
const die = Effect.sync(() => void process.kill(process.pid, "SIGKILL"))
/** Dies where it was told to. */
const at = (label: Label): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (crossed !== "") appendFileSync(crossed, `${label}\n`)
    if (label === stand) return Effect.andThen(Effect.sleep(Number(standing)), buried(label))
    return buried(label)
  })
const buried = (label: Label): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (label !== grave.label || ++hits !== grave.nth) return Effect.void
    return linger > 0 ? Effect.andThen(Effect.sleep(linger), die) : die
  })
if (grave.label !== "" || crossed !== "" || stand !== "") Reflect.set(Boundary, "defaultValue", () => at)

const keepers = new WeakMap<Agent<unknown>, Agent<unknown>>()
/** The same agent, which also keeps something with each session that it is opened for. */
const keeper = (agent: Agent<unknown>): Agent<unknown> => {
  // Where nobody looks at the boundaries a session costs what it costs in the program as it ships.
  if (grave.label === "" && crossed === "" && stand === "") return agent
  const known = keepers.get(agent)
  if (known !== undefined) return known
  const made: Agent<unknown> = {
    ...agent,
    open: (session) => Effect.andThen(session.keep(`opened in ${session.epoch}`), agent.open(session))
  }
  keepers.set(agent, made)
  return made
}

/** An answer of an agent of the harness names its messages by itself. */
const marked = (reply: Reply): Reply =>
  answerOf(reply.text) === undefined ? { ...reply, text: withMark(reply.text, reply.kind, reply.inReplyTo) } : reply

const tellers = new WeakMap<AnyChannel, AnyChannel>()
/** The channel of the configuration, as it ships, whose replies also say which messages they are for. */
const teller = <C extends AnyChannel>(channel: C): C => {
  const { delivery } = channel
  const known = tellers.get(channel)
  if (known !== undefined) return known as C
  const made = {
    ...channel,
    delivery:
      delivery._tag === "Edit"
        ? { ...delivery, edit: (id: string, reply: Reply) => delivery.edit(id, marked(reply)) }
        : delivery._tag === "Ambiguous"
          ? { ...delivery, deliver: (reply: Reply) => delivery.deliver(marked(reply)) }
          : delivery
  }
  tellers.set(channel, made)
  return made
}

if (far !== "") {
  const { layer } = Gateway
  const withChannels = <R extends Registry<unknown>>(registry: R): R => ({
    ...registry,
    agents: Object.fromEntries(Object.entries(registry.agents).map(([name, agent]) => [name, keeper(agent)])),
    channels: {
      ...Object.fromEntries(Object.entries(registry.channels ?? {}).map(([name, channel]) => [name, teller(channel)])),
      ...channels(far)
    }
  })
  const reloading = Effect.map(Gateway, (gateway) =>
    Gateway.of({ ...gateway, reload: (registry) => gateway.reload(withChannels(registry)) })
  )
  const layerWithChannels = (options: GatewayOptions<unknown>) =>
    Layer.effect(Gateway, reloading).pipe(Layer.provide(layer(withChannels(options))))
  Reflect.set(Gateway, "layer", layerWithChannels)
}

/** What started this program keeps its compiled code, with every function that a start calls. */
const keep = Reflect.get(globalThis, Symbol.for("sluice/torture/keep")) as (() => void) | undefined
const loaded = () => {
  keep?.()
  YoungGeneration.release()
}
// The program is one script, which can be compiled ahead; a script awaits nothing at its top.
void import("../../../gateway/src/main.ts").then(({ main }) => main(recorder, loaded))
