/**
 * A chat model as an agent: one call over HTTP for each turn, the answer streamed
 * as it is written. It needs no memory of its own, for history is the journal's;
 * what no longer fits into the model's context is cut or summarised, once, and the
 * person is told. Speaks OpenAI's chat completions and Anthropic's messages, and
 * forgives what compatible servers leave out.
 */
import * as Agent from "@sluice/runtime/Agent"
import type { Turn } from "@sluice/runtime/Message"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Redacted from "effect/Redacted"
import type * as Stream from "effect/Stream"
import { anthropic } from "./internal/model/anthropic.ts"
import type { Complete, Completions } from "./Completions.ts"
import { call, type Line } from "./internal/model/call.ts"
import { converse, type Person, type Words } from "./internal/model/converse.ts"
import { openai } from "./internal/model/openai.ts"
import * as reaching from "./internal/model/reach.ts"

/** A model and how it is spoken with over HTTP. */
export interface Options extends Manner {
  /** `openai` = chat completions, as Ollama, llama.cpp, vLLM and most others speak them; `anthropic` = messages. */
  readonly api: "openai" | "anthropic"
  /** Address of the server, for example `http://localhost:11434` or `https://api.openai.com/v1`. */
  readonly url: string
  /** Sent as a bearer token or as `x-api-key`. Servers on one's own machine mostly want none. */
  readonly key?: Redacted.Redacted
  /** A server that says nothing for this long has failed; 60 s by default. */
  readonly stallTimeout?: Duration.Input
  /** A call that takes longer has failed; 15 min by default. */
  readonly requestTimeout?: Duration.Input
}

/** A model, and what is said to it and to people, wherever its answers come from. */
export interface Manner {
  /** Name of the model where it is; `/model` replaces it for a session. */
  readonly model: string
  /** The longest answer in tokens, reasoning included; 4096 by default. */
  readonly maxTokens?: number
  readonly temperature?: number
  /** What the model is told about itself when the persona says nothing. */
  readonly systemPrompt?: string
  /** How many tokens a prompt and its answer may have together; 16384 by default, 100000 for the API `anthropic`. */
  readonly contextTokens?: number
  /** What is done with the oldest turns when they no longer fit: left out (default), or summed up by the same model. */
  readonly overflow?: "cut" | "summarize"
  /** Whether images are sent; they are by default, until the model refuses one. */
  readonly images?: boolean
  /** How often a call is repeated at once that failed before its first word; 2 by default. */
  readonly retries?: number
  readonly turnTimeout?: Duration.Input
  /** What the agent itself says to a person. */
  readonly words?: Partial<Words>
}

/** What the agent itself says, unless it is given other words. */
export const words: Words = {
  cut: "Our conversation has grown long: I no longer see its oldest part.",
  summarized: "Our conversation has grown long: I go on with a summary of its oldest part.",
  length: "\n[This answer reached its greatest length. It ends here.]",
  filter: "\n[The rest of this answer was held back by the model's provider.]"
}

/** Tokens of the context by API, unless said otherwise: small enough for a model on one's own machine. */
export const contextTokens = { openai: 16_384, anthropic: 100_000 } as const

/** What is wrong with a key that no header takes. */
export const badKey = "is empty or holds spaces or characters that no header takes; give the key alone"

const isPositive = (value: number | undefined): boolean =>
  value === undefined || (Number.isSafeInteger(value) && value > 0)

/** What is wrong with the options, with its remedy; `undefined` when nothing is. Asks nobody. */
export const invalid = (options: Options): string | undefined => {
  const { key } = options
  if (!URL.canParse(options.url) || !/^https?:$/.test(new URL(options.url).protocol)) {
    return `url "${options.url}": is no address; use one such as http://localhost:11434 or https://api.openai.com/v1`
  }
  const { password, search, username } = new URL(options.url)
  if (username !== "" || password !== "") return "url: holds a name or a password; put the key where it is not logged"
  if (search !== "") return "url: holds a query; leave out what follows the question mark"
  // Not shown: it is a secret, also a bad one.
  if (key !== undefined && !/^[!-~]+$/.test(Redacted.value(key))) return `key: ${badKey}`
  return invalidManner(options)
}

const invalidManner = (options: Manner): string | undefined => {
  if (options.model.trim() === "") return "model: is empty; name a model of the server"
  for (const name of ["maxTokens", "contextTokens"] as const) {
    if (!isPositive(options[name]))
      return `${name} ${options[name]}: is no number of tokens; give a whole number above 0`
  }
  const { retries, temperature } = options
  if (retries !== undefined && (!Number.isSafeInteger(retries) || retries < 0)) {
    return `retries ${retries}: is no count; give a whole number from 0`
  }
  if (temperature !== undefined && !(temperature >= 0 && temperature <= 2)) {
    return `temperature ${temperature}: is out of range; give a number from 0 to 2`
  }
  return undefined
}

const line = (options: Options, client: HttpClient.HttpClient): Line => ({
  client,
  dialect: options.api === "openai" ? openai : anthropic,
  url: options.url,
  key: options.key,
  stall: Duration.fromInputUnsafe(options.stallTimeout ?? "60 seconds"),
  request: Duration.fromInputUnsafe(options.requestTimeout ?? "15 minutes")
})

const person = (options: Manner, context: number, session: Agent.AgentSession): Person => ({
  model: session.model ?? options.model,
  system: session.systemPrompt ?? options.systemPrompt,
  maxTokens: options.maxTokens ?? 4096,
  temperature: options.temperature,
  contextTokens: options.contextTokens ?? context,
  overflow: options.overflow ?? "cut",
  images: options.images ?? true,
  retries: options.retries ?? 2,
  words: { ...words, ...options.words }
})

/**
 * Makes a model agent. Throws when the options are {@link invalid}; whether the
 * server is there is seen at the first turn, or by {@link reach}.
 */
export const make = (options: Options): Agent.Agent<HttpClient.HttpClient> => {
  const wrong = invalid(options)
  if (wrong !== undefined) throw new Error(wrong)
  return Agent.make({
    models: "any",
    ...timeoutOf(options),
    open: Effect.fnUntraced(function* (session) {
      const spoken = line(options, yield* HttpClient.HttpClient)
      const complete: Complete = (request, manners) => call(spoken, request, manners)
      return yield* opened(complete, session, person(options, contextTokens[options.api], session))
    })
  })
}

/**
 * A model agent over completions of one's own, for example those of a pool in the same process. Throws when the options
 * are wrong.
 */
export const over = (completions: Completions, options: Manner): Agent.Agent => {
  const wrong = invalidManner(options)
  if (wrong !== undefined) throw new Error(wrong)
  const { models } = completions
  return Agent.make({
    ...(models === undefined ? {} : { models }),
    ...timeoutOf(options),
    open: (session) => opened(completions.open(session), session, person(options, contextTokens.openai, session))
  })
}

const timeoutOf = ({ turnTimeout }: Manner) => (turnTimeout === undefined ? {} : { turnTimeout })

const opened = (complete: Complete, session: Agent.AgentSession, speaker: Person) =>
  Effect.map(converse(complete, session, speaker), (answer) => ({
    answer: (turn: Turn): Stream.Stream<Agent.AgentEvent, Agent.AgentError> => answer(turn)
  }))

/** Whether the server is there and knows the model: a sentence for the operator. Fails with what is wrong. */
export const reach = (
  options: Options,
  within: Duration.Input = "5 seconds"
): Effect.Effect<string, string, HttpClient.HttpClient> =>
  Effect.flatMap(HttpClient.HttpClient, (client) => reaching.reach(line(options, client), options.model, within))
