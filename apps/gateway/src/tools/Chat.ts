/**
 * `sluice chat`: the terminal channel over the running gateway. A message counts
 * as sent once the gateway has it on disk, so leaving, a restart or a lost
 * connection in between loses nothing that was said to be accepted.
 */
import * as Terminal from "@sluice/channels/Terminal"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type { Place } from "../ConfigurationSources.ts"
import { codes, Ending } from "../Exit.ts"
import { escape } from "../LogEncoder.ts"
import type { ConfigurationError } from "../Problem.ts"
import * as Tokens from "../Tokens.ts"
import { running, Silent } from "./Ask.ts"
import * as Words from "./Words.ts"

/** Talks until the person leaves. */
export const chat = Effect.fnUntraced(function* (
  place: Place,
  name: string
): Effect.fn.Return<void, Silent | ConfigurationError | Ending> {
  const address = running(place)
  if (address === undefined) {
    const detail = `no gateway runs on ${escape(place.stateDirectory)}; start one in another terminal with: sluice run`
    return yield* new Silent({ why: "none", detail })
  }
  const [token] = yield* Tokens.read({ ...place, origin: "" }, { create: false })
  const farewell = yield* Terminal.keyboard.pipe(
    Effect.flatMap((keyboard) => Terminal.chat({ ...keyboard, url: address.url, token, conversation: name })),
    Effect.scoped,
    Effect.provide(FetchHttpClient.layer),
    Effect.mapError((error) => new Ending({ code: codes.failed, lines: [`sluice: ${error.message}`] }))
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
