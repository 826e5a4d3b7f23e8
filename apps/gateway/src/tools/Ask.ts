/**
 * Asks the running gateway over HTTP, with the address and the token from its
 * state directory. A gateway that is not there or does not answer in time is no
 * error here: the caller looks at the store instead, read-only and briefly.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { readFileSync } from "node:fs"
import * as Address from "../configuration/Address.ts"
import type { Place } from "../configuration/Sources.ts"
import { escape } from "../LogEncoder.ts"
import type { ConfigurationError } from "../configuration/Problem.ts"
import * as Tokens from "../Tokens.ts"

/** No gateway answers. `why`: none runs here, or one runs and is silent. */
export class Silent extends Data.TaggedError("Silent")<{ readonly why: "none" | "blocked"; readonly detail: string }> {
  override get message() {
    return this.detail
  }
}

/** The gateway said no. */
export class Refused extends Data.TaggedError("Refused")<{ readonly status: number; readonly detail: string }> {
  override get message() {
    return this.detail
  }
}

/** A request of a tool. */
export interface Question {
  readonly method: "GET" | "POST" | "DELETE"
  readonly path: `/${string}`
  readonly body?: unknown
  /** Idempotency key of a request that stores something. */
  readonly key?: string
  /** Milliseconds until a gateway counts as silent (2 s). */
  readonly patience?: number
}

/** Whether a process is there and not just waiting to be buried. */
export const lives = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "EPERM"
  }
  try {
    // "pid (name) state ...": the name may hold anything, the state follows the last parenthesis.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z"
  } catch {
    // No /proc on this system: the signal's word stands.
    return true
  }
}

/** The gateway that runs on this state directory, as far as one can tell without asking it. */
export const running = (place: Place): Address.Address | undefined => {
  const address = Address.read(place.stateDirectory)
  return address !== undefined && lives(address.pid) ? address : undefined
}

/** How a gateway is started, installed or in a clone of the project. */
export const howToStart = "start one with: sluice run, or in the project: npm start"

const none = (place: Place) =>
  new Silent({ why: "none", detail: `no gateway runs on ${escape(place.stateDirectory)}; ${howToStart}` })

const codeOf = (cause: unknown): string => {
  const inner = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause
  return inner instanceof Error && "code" in inner && typeof inner.code === "string" ? inner.code : ""
}

const detailOf = (body: unknown, status: number): string =>
  typeof body === "object" && body !== null && "detail" in body && typeof body.detail === "string"
    ? body.detail
    : `the gateway answered with status ${status}`

/** One request with one token. */
const send = (place: Place, address: Address.Address, question: Question, token: Redacted.Redacted) =>
  Effect.tryPromise({
    try: async (signal) => {
      const answer = await fetch(new URL(question.path, address.url), {
        method: question.method,
        headers: {
          authorization: `Bearer ${Redacted.value(token)}`,
          ...(question.body === undefined ? {} : { "content-type": "application/json" }),
          ...(question.key === undefined ? {} : { "idempotency-key": question.key })
        },
        ...(question.body === undefined ? {} : { body: JSON.stringify(question.body) }),
        signal: AbortSignal.any([signal, AbortSignal.timeout(question.patience ?? 2000)]),
        redirect: "error"
      })
      const text = await answer.text()
      const body: unknown = answer.headers.get("content-type")?.includes("json") === true ? JSON.parse(text) : text
      return { status: answer.status, body }
    },
    catch: (cause) =>
      codeOf(cause) === "ECONNREFUSED"
        ? none(place)
        : new Silent({
            why: "blocked",
            detail: `the gateway (pid ${address.pid}) does not answer at ${escape(address.url)}; its log and SIGQUIT say what it waits for`
          })
  })

/** The tokens as they are on this side now; while one is exchanged the gateway may know only one of two. */
export const tokensOf = (place: Place): Effect.Effect<Tokens.Tokens, ConfigurationError> =>
  Tokens.read({ ...place, origin: "" }, { create: false })

/** What to do about a token that the gateway does not know. */
export const unknownToken = (pid: number): string =>
  `the tools read the token from SLUICE_TOKEN, http.tokenFile or the state directory; when it was exchanged there, tell the gateway: kill -HUP ${pid}`

/** Sends a question to the running gateway and returns the JSON of its answer with its status. */
export const ask = Effect.fnUntraced(function* (
  place: Place,
  question: Question
): Effect.fn.Return<{ readonly status: number; readonly body: unknown }, Silent | Refused | ConfigurationError> {
  const address = running(place)
  if (address === undefined) return yield* none(place)
  const [token, ...others] = yield* tokensOf(place)
  let response = yield* send(place, address, question, token)
  // A 401 has done nothing: the same question again, with the token before or after it.
  for (const other of others) if (response.status === 401) response = yield* send(place, address, question, other)
  if (response.status === 503 || response.status < 400) return response
  const why = response.status === 401 ? `; ${unknownToken(address.pid)}` : ""
  return yield* new Refused({
    status: response.status,
    // One line per problem, as they were found.
    detail: `${detailOf(response.body, response.status).split("\n").map(escape).join("\n")}${why}`
  })
})
