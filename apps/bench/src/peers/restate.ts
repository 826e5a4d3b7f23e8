/**
 * Restate: its server from npm on this machine, one node, and a virtual object keyed by the conversation, which it runs one
 * invocation after the other. A send is acknowledged when it is in its log; a completion counts when the handler
 * returns, a little before Restate has stored it, which is in its favour.
 */
import { createServer } from "node:http2"
import { platform, arch } from "node:os"
import { Absent, type Contestant, type Message, rounds } from "./Contestant.ts"
import { ended, freePort, lastWords, listening, started } from "./daemons.ts"
import { installed } from "./installed.ts"

const version = "1.7.12"
const sdk = "1.17.2"
const packages = [
  `@restatedev/restate-server@${version}`,
  `@restatedev/restate-sdk@${sdk}`,
  `@restatedev/restate-sdk-clients@${sdk}`
]

interface Sdk {
  readonly object: (definition: object) => object
  readonly createEndpointHandler: (options: object) => (request: unknown, response: unknown) => void
}

interface Clients {
  readonly connect: (options: object) => {
    readonly objectSendClient: (
      definition: object,
      key: string
    ) => { readonly message: (message: Message) => Promise<unknown> }
  }
}

const serve = async (folder: string, program: string) => {
  const [ingress, admin, fabric] = [await freePort(), await freePort(), await freePort()]
  const options = ["--no-logo", "--listen-mode", "tcp", "--bind-ip", "127.0.0.1", "--advertised-host", "127.0.0.1"]
  const child = started(program, [...options, "--base-dir", folder], {
    env: {
      ...process.env,
      RESTATE_BIND_PORT: `${fabric}`,
      RESTATE_INGRESS__BIND_PORT: `${ingress}`,
      RESTATE_ADMIN__BIND_PORT: `${admin}`,
      RESTATE_DISABLE_TELEMETRY: "true",
      RESTATE_LOG_FILTER: "warn"
    }
  })
  const said = lastWords(child)
  await listening(child, admin, said)
  await listening(child, ingress, said)
  return { ingress: `http://127.0.0.1:${ingress}`, admin: `http://127.0.0.1:${admin}`, stop: () => ended(child) }
}

export const restate = async (folder: string): Promise<Contestant> => {
  if (platform() === "win32") throw new Absent("Restate's server has no build for this system")
  // Its SDK writes two lines for each invocation, which would cost it a third of its speed here.
  process.env["RESTATE_LOGGING"] = "ERROR"
  const { load, path } = await installed("restate", packages)
  const { createEndpointHandler, object } = await load<Sdk>("@restatedev/restate-sdk")
  const { connect } = await load<Clients>("@restatedev/restate-sdk-clients")
  const built = `@restatedev/restate-server-${platform()}-${arch()}`
  const server = await serve(folder, path(built, "bin", "restate-server"))
  const conversation = object({
    name: "conversation",
    handlers: {
      message: async (_context: unknown, message: Message) => {
        tally().handled(message)
        tally().completed()
      }
    }
  })
  const endpoint = createServer(createEndpointHandler({ services: [conversation] }))
  const port = await new Promise<number>((resolve) => {
    endpoint.listen(0, "127.0.0.1", () => {
      const address = endpoint.address()
      resolve(address === null || typeof address === "string" ? 0 : address.port)
    })
  })
  const registered = await fetch(`${server.admin}/deployments`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ uri: `http://127.0.0.1:${port}` })
  })
  if (!registered.ok) throw new Error(`Restate refused the handlers: ${registered.status} ${await registered.text()}`)
  const client = connect({ url: server.ingress })
  const { round, tally } = rounds((message) =>
    client.objectSendClient({ name: "conversation" }, `c${message.conversation}`).message(message)
  )
  return {
    setting: `Restate ${version}, SDK ${sdk}, as it comes (one node, its log flushed), a virtual object for each conversation`,
    round,
    close: async () => {
      await server.stop()
      endpoint.close()
    }
  }
}
