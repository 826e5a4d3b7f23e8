/**
 * The sides of PL1: the backend directly, by `node:http` and nothing else; a pool in this process; and a pool of a gateway,
 * the shipped program, which a client of that same bare kind asks over HTTP. All read the whole answer as JSON.
 */
import { Agent, type IncomingMessage, request } from "node:http"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Capabilities from "@sluice/pools/Capabilities"
import { Governor } from "@sluice/pools/Governor"
import * as OpenAi from "@sluice/pools/OpenAi"
import * as Pool from "@sluice/pools/Pool"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Context from "effect/Context"
import * as Stream from "effect/Stream"
import { now } from "../figure.ts"
import { eventsIn } from "../agents/gateway.ts"
import { type Cost, heldBy, type Kind, messages, requestOf, texts } from "./kinds.ts"

/** Requests under way at one time. */
export const clients = 64

/** The same two pools in the configuration of a gateway. */
export const configured = (url: string) => {
  const server = { kind: "openai", url, model: "bench", workers: { start: 1, max: 1, concurrency: clients } }
  return {
    writer: { capability: "text-generation", ...server },
    search: { capability: "text-embedding", ...server }
  }
}

/** Pools with room for all clients at once: what is measured is not the waiting. */
const pools = (url: string) => {
  const server = { urls: [`${url}/v1`], model: "bench", concurrency: clients } as const
  return Effect.all({
    chat: Pool.make({
      name: "writer",
      capability: Capabilities.textGeneration,
      load: OpenAi.textGeneration(server),
      workers: { start: 1, max: 1 }
    }),
    embeddings: Pool.make({
      name: "search",
      capability: Capabilities.textEmbedding,
      load: OpenAi.textEmbedding(server),
      workers: { start: 1, max: 1 }
    })
  })
}

/** Asks once. */
export interface Side {
  readonly ask: (kind: Kind) => Promise<Cost>
  readonly close: () => Promise<void>
}

const wholeOf = async (response: IncomingMessage): Promise<string> => {
  let text = ""
  for await (const chunk of response.setEncoding("utf8")) text += String(chunk)
  return text
}

interface Answer {
  readonly choices?: ReadonlyArray<{
    readonly message?: { readonly content: string }
    readonly delta?: { readonly content?: string }
  }>
  readonly data?: ReadonlyArray<{ readonly embedding: ReadonlyArray<number> }>
}

const parsed = (text: string): Answer => JSON.parse(text) as Answer

/** Milliseconds at the backend, as the answer says. */
const backendOf = ({ choices, data }: Answer): number =>
  data?.[0]?.embedding[0] ?? heldBy(choices?.[0]?.message?.content ?? "")

const streamed = async (response: IncomingMessage, begun: number): Promise<Cost> => {
  let first: number | undefined
  let last = 0
  const hear = eventsIn((_, data) => {
    const content = data === "[DONE]" ? undefined : parsed(data).choices?.[0]?.delta?.content
    if (content === undefined) return
    last = heldBy(content)
    first ??= now() - begun - last
  })
  for await (const chunk of response.setEncoding("utf8")) hear(String(chunk))
  return { whole: now() - begun - last, first: first ?? Number.NaN }
}

/** Over HTTP, at the backend or at a gateway. */
export const http = (url: string, headers: Readonly<Record<string, string>> = {}): Side => {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const ask = async (kind: Kind): Promise<Cost> => {
    const { body, path } = requestOf(kind)
    const begun = now()
    const text = JSON.stringify(body)
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = request(
        `${url}${path}`,
        {
          agent,
          method: "POST",
          headers: { "content-type": "application/json", "content-length": Buffer.byteLength(text), ...headers }
        },
        resolve
      )
      sent.on("error", reject)
      sent.end(text)
    })
    if (response.statusCode !== 200)
      throw new Error(`${url}${path} answered with ${response.statusCode}: ${await wholeOf(response)}`)
    if (kind === "streamed chat") return streamed(response, begun)
    const answer = parsed(await wholeOf(response))
    return { whole: now() - begun - backendOf(answer) }
  }
  return { ask, close: () => Promise.resolve(agent.destroy()) }
}

class Both extends Context.Service<Both, Effect.Success<ReturnType<typeof pools>>>()("Both") {}

/** A pool in this process. */
export const inProcess = (url: string): Side => {
  const runtime = ManagedRuntime.make(
    Layer.effect(Both, pools(url)).pipe(
      Layer.provide([Governor.layer(), NodeHttpClient.layerNodeHttpOptions({ keepAlive: true })])
    )
  )
  const asked = (kind: Kind, { chat, embeddings }: Both["Service"]): Effect.Effect<Cost, unknown> => {
    const begun = now()
    if (kind === "chat") {
      const answer = chat.submit({ messages, settings: { max_tokens: 100 } })
      return Effect.map(answer, ({ text }) => ({ whole: now() - begun - heldBy(text) }))
    }
    if (kind === "embeddings") {
      return Effect.map(embeddings.submit({ texts }), ({ vectors }) => ({
        whole: now() - begun - (vectors[0]?.[0] ?? Number.NaN)
      }))
    }
    let first: number | undefined
    let last = 0
    const parts = chat.stream({ messages, settings: { max_tokens: 100 } })
    return Effect.map(
      Stream.runForEach(parts, ({ text }) =>
        Effect.sync(() => {
          if (text === undefined) return
          last = heldBy(text)
          first ??= now() - begun - last
        })
      ),
      () => ({ whole: now() - begun - last, first: first ?? Number.NaN })
    )
  }
  return {
    ask: (kind) => runtime.runPromise(Both.use((both) => asked(kind, both))),
    close: () => runtime.dispose()
  }
}
