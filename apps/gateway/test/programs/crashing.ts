// The gateway as it ships, with three additions: it kills itself the n-th time that it comes to a labelled boundary,
// its agents keep something with each session, and it has a channel of every class that sends, whose other side is a
// folder that outlives the process. Nothing of them is in the program: what a boundary does is a reference that is set here before the program is loaded.
import type { Agent } from "@sluice/runtime/Agent"
import * as Channel from "@sluice/runtime/Channel"
import { Gateway, type GatewayOptions, type Registry } from "@sluice/runtime/Gateway"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { Boundary, type Label } from "../../../../packages/runtime/src/internal/boundary.ts"
import { record } from "../../src/process/SignalRecorder.ts"

const recorder = record()
const setting = (name: string) => process.env[name] ?? ""
const far = setting("CRASHING_FAR")
const crossed = setting("CRASHING_CROSSED")
const grave = { label: setting("CRASHING_LABEL"), nth: Number(setting("CRASHING_NTH") || 1) }

let hits = 0
/** Dies where it was told to. The kernel ends the process before the call returns. */
const at = (label: Label): Effect.Effect<void> =>
  Effect.sync(() => {
    if (crossed !== "") appendFileSync(crossed, `${label}\n`)
    if (label === grave.label && ++hits === grave.nth) process.kill(process.pid, "SIGKILL")
  })
Reflect.set(Boundary, "defaultValue", () => at)

const lines = (file: string): ReadonlyArray<Record<string, string>> =>
  existsSync(file)
    ? readFileSync(file, "utf8")
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line))
    : []

/** The other side of a channel: what arrives there is appended to its file. */
const side = (name: string) => {
  const file = join(far, `${name}.jsonl`)
  const write = (entry: Record<string, string>) => appendFileSync(file, `${JSON.stringify(entry)}\n`)
  const add = (peer: string, text: string, key = "") =>
    Effect.sync(() => {
      const known = lines(file)
      const same = key === "" ? undefined : known.find((entry) => entry["key"] === key)
      if (same !== undefined) return { remoteId: same["id"] ?? "" }
      const id = String(known.length + 1)
      write({ id, peer, text, key })
      return { remoteId: id }
    })
  const edit = (id: string, text: string) =>
    Effect.sync(() => {
      write({ edits: id, text })
      return { remoteId: id }
    })
  /** Asks for patience once for each text that says so. */
  const throttled = (text: string) =>
    Effect.suspend(() => {
      const seen = join(far, `${name}.throttled`)
      if (!text.includes("throttle") || (existsSync(seen) && readFileSync(seen, "utf8").includes(text))) {
        return Effect.void
      }
      appendFileSync(seen, `${text}\n`)
      return Effect.fail(new Channel.Throttled({ retryAfter: 50, scope: "conversation" }))
    })
  return { add, edit, throttled }
}

/** Reads the inbox from its own offset on, which it moves behind what is accepted. */
const receive =
  (name: string) =>
  (handle: Channel.Handle): Effect.Effect<never> =>
    Effect.gen(function* () {
      const offset = join(far, `${name}.offset`)
      yield* handle.ready
      for (;;) {
        const from = existsSync(offset) ? Number(readFileSync(offset, "utf8")) : 0
        for (const [index, { channel, id = "", peer = "", text = "" }] of lines(join(far, "inbox.jsonl")).entries()) {
          if (index < from) continue
          if (channel === name) {
            yield* handle.accept({ conversation: peer, id, sender: peer, text }).pipe(Channel.skipPermanent)
          }
          writeFileSync(offset, String(index + 1))
        }
        yield* Effect.sleep("20 millis")
      }
    }).pipe(Effect.retry({ while: () => true }), Effect.orDie)

const deliveryOf = (name: string): Channel.Delivery => {
  const { add, edit, throttled } = side(name)
  switch (name) {
    case "keyed":
      return Channel.keyed(({ conversation, id, text }) =>
        Effect.andThen(throttled(text), add(conversation.peer, text, id))
      )
    case "edit":
      return Channel.edit({
        place: ({ peer }, text) => add(peer, text),
        edit: (id, { text }) => edit(id, text),
        progress: (id, _, text) => Effect.asVoid(edit(id, text))
      })
    default:
      return Channel.ambiguous(name === "hold" ? "hold" : "resend-once", ({ conversation, text }) =>
        add(conversation.peer, text)
      )
  }
}

const channels = () =>
  Object.fromEntries(
    ["keyed", "edit", "hold", "resend"].map((name) => [
      name,
      Channel.make({ delivery: deliveryOf(name), receive: receive(name), quiet: 0 })
    ])
  )

const keepers = new WeakMap<Agent<unknown>, Agent<unknown>>()
/** The same agent, which also keeps something with each session that it is opened for. */
const keeper = (agent: Agent<unknown>): Agent<unknown> => {
  const known = keepers.get(agent)
  if (known !== undefined) return known
  const made: Agent<unknown> = {
    ...agent,
    open: (session) => Effect.andThen(session.keep(`opened in ${session.epoch}`), agent.open(session))
  }
  keepers.set(agent, made)
  return made
}

if (far !== "") {
  const { layer } = Gateway
  const withChannels = <R extends Registry<unknown>>(registry: R): R => ({
    ...registry,
    agents: Object.fromEntries(Object.entries(registry.agents).map(([name, agent]) => [name, keeper(agent)])),
    channels: { ...registry.channels, ...channels() }
  })
  const reloading = Effect.map(Gateway, (gateway) =>
    Gateway.of({ ...gateway, reload: (registry) => gateway.reload(withChannels(registry)) })
  )
  const layerWithChannels = (options: GatewayOptions<unknown>) =>
    Layer.effect(Gateway, reloading).pipe(Layer.provide(layer(withChannels(options))))
  Reflect.set(Gateway, "layer", layerWithChannels)
}

const { main } = await import("../../src/main.ts")
main(recorder)
