/**
 * `sluice chat`: the terminal channel over the running gateway. A message counts
 * as sent once the gateway has it on disk, so leaving, a restart or a lost
 * connection in between loses nothing that was said to be accepted.
 */
import * as Terminal from "@sluice/channels/Terminal"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import { join } from "node:path"
import type { Place } from "../configuration/Sources.ts"
import { codes, Ending } from "../process/Exit.ts"
import { escape } from "../LogEncoder.ts"
import type { ConfigurationError } from "../configuration/Problem.ts"
import { howToStart, running, Silent, tokensOf, unknownToken } from "./Ask.ts"
import { exists, fileIn } from "../StateFolder.ts"
import * as Words from "./Words.ts"

/** Where one is and what can be done; only for a person at a terminal. */
const opening = (url: string, name: string): string =>
  `(connected to ${url} as ${name}; /help lists commands, Ctrl-C stops what runs, Ctrl-D leaves)`

/** Where a file of an answer is: on this machine below its hash, else with whoever has the token. */
export const whereFile =
  ({ stateDirectory }: Pick<Place, "stateDirectory">, url: string) =>
  ({ hash, name }: Terminal.IncomingFile): string => {
    const path = join(fileIn(stateDirectory, "attachments"), hash)
    if (/^[0-9a-f]{64}$/.test(hash) && exists(path)) return path
    return `${url}/v1/attachments/${encodeURIComponent(hash)}${name === undefined ? "" : `?name=${encodeURIComponent(name)}`}`
  }

/** Talks until the person leaves. */
export const chat = Effect.fnUntraced(function* (
  place: Place,
  name: string
): Effect.fn.Return<void, Silent | ConfigurationError | Ending> {
  const address = running(place)
  if (address === undefined) {
    const detail = `no gateway runs on ${escape(place.stateDirectory)}; in another terminal, ${howToStart}`
    return yield* new Silent({ why: "none", detail })
  }
  let known = yield* tokensOf(place)
  // A file that is being replaced right now: what was read before is as good as nothing, and better.
  const token = tokensOf(place).pipe(
    Effect.tap((tokens) => Effect.sync(() => (known = tokens))),
    Effect.orElseSucceed(() => known)
  )
  // Looked up with every connection: with port 0 a gateway comes back somewhere else.
  const url = Effect.sync(() => running(place)?.url)
  const farewell = yield* Terminal.keyboard.pipe(
    Effect.flatMap((keyboard) =>
      Terminal.chat({
        ...keyboard,
        url,
        token,
        conversation: name,
        whereFile: (file) => whereFile(place, running(place)?.url ?? address.url)(file),
        ...(keyboard.streaming ? { opening: opening(address.url, name) } : {})
      })
    ),
    Effect.scoped,
    Effect.provide(FetchHttpClient.layer),
    Effect.mapError(({ message, reason }) => {
      const remedy = reason === "Denied" ? `; ${unknownToken(address.pid)}` : ""
      return new Ending({ code: codes.failed, lines: [`sluice: ${message}${remedy}`] })
    })
  )
  const { refused, unsent } = farewell
  if (unsent.length > 0 || refused > 0) {
    const lines = [
      ...(refused === 0 ? [] : [`${Words.count(refused, "message")} could not be accepted`]),
      ...unsent.map((text) => `not sent: ${text}`)
    ]
    return yield* new Ending({ code: codes.failed, lines })
  }
})
