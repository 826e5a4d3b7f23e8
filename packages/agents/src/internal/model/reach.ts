/**
 * Looks whether a model's server is there, takes the key and knows the model,
 * without paying for an answer: by the list of its models, which not every server
 * has.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { execute, type Line, unreachable } from "./call.ts"

const List = Schema.Struct({ data: Schema.Array(Schema.Struct({ id: Schema.String })) })

/** A sentence on what was found, or what is wrong with its remedy. */
export const reach = (line: Line, model: string, within: Duration.Input): Effect.Effect<string, string> => {
  const { host } = new URL(line.url)
  const key = line.key === undefined ? undefined : Redacted.value(line.key)
  const request = HttpClientRequest.get(line.dialect.models(line.url)).pipe(
    HttpClientRequest.setHeaders(line.dialect.headers(key))
  )
  const look = Effect.gen(function* () {
    const response = yield* Effect.mapError(execute(line, request), (error) => unreachable(line)(error).message)
    if (response.status === 401 || response.status === 403) {
      return yield* Effect.fail(`${host} does not accept the key (${response.status}); check \`keyFile\``)
    }
    const body = yield* Effect.option(response.json)
    const list = Option.flatMap(body, Schema.decodeUnknownOption(List))
    // Not every server has the list: that it answers is what could be found out.
    if (response.status !== 200 || Option.isNone(list)) return `${host} answers`
    const ids = list.value.data.map(({ id }) => id)
    // A list may be one page of many, and names may have a tag that is left out.
    const known = ids.some((id) => id === model || id.startsWith(`${model}:`))
    if (known || ids.length === 0 || ids.length >= 20) return `${host} answers${known ? ` and knows ${model}` : ""}`
    return yield* Effect.fail(`${host} does not know the model ${model}; it has ${ids.slice(0, 8).join(", ")}`)
  })
  return Effect.timeoutOrElse(look, {
    duration: within,
    orElse: () => Effect.fail(`${host} did not answer in time; check that it runs and that \`url\` is right`)
  })
}
