// The model agent keeps the promises that every agent makes, in both of its dialects, against servers that speak them.
import { describe, it } from "@effect/vitest"
import { agentConformance } from "@sluice/runtime/testing/agentConformance"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import type { Turn } from "@sluice/runtime/Message"
import type * as Agent from "@sluice/runtime/Agent"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as Model from "../../src/Model.ts"
import * as Anthropic from "../standIn/anthropic.ts"
import * as OpenAi from "../standIn/openai.ts"

/** The stand-ins say back what the model is asked: the messages, after what it has to be told of an unknown outcome. */
const expected = ({ interrupted, text }: Turn): string =>
  interrupted?.tool === undefined
    ? text
    : `[An earlier attempt to answer was cut off while running ${interrupted.tool}. Nobody knows whether it went through: say so, and don't do it again without being asked.]\n\n${text}`

/** The agent of one address that is not known before the case runs. */
const subject = (agent: Agent.Agent<HttpClient.HttpClient>) =>
  ({ agent, expected, fails: "fail 500", hangs: "hang", hangsWith: "event" }) as const

const cases = agentConformance(subject(Model.make({ api: "openai", url: "http://localhost", model: "stand-in" })))

const clients = { fetch: FetchHttpClient.layer, node: NodeHttpClient.layerNodeHttp } as const
const standIns = { openai: OpenAi.standIn(), anthropic: Anthropic.standIn() } as const

for (const api of ["openai", "anthropic"] as const) {
  for (const client of ["fetch", "node"] as const) {
    describe(`Model, ${api}, over ${client}`, () => {
      for (const { name } of cases) {
        it.live(name, () =>
          Effect.gen(function* () {
            const { url } = yield* standIns[api]
            const made = Model.make({ api, url, model: "stand-in", retries: 0 })
            const found = agentConformance(subject(made)).find((one) => one.name === name)
            yield* found?.run ?? Effect.die(`there is no case ${name}`)
          }).pipe(Effect.provide(clients[client]))
        )
      }
    })
  }
}
