/**
 * What the program says at its start: where it listens, who answers, how replies
 * go out, where the memory is, how long a stop may take and why, and how the last
 * one ended. For people a few lines, for machines one event.
 */
import { type AnyChannel, deliveryName } from "@sluice/runtime/Channel"
import { relative } from "node:path"
import type { Loaded } from "./configuration/Sources.ts"
import { escape } from "./LogEncoder.ts"
import { fileIn } from "./StateFolder.ts"

/** What the lines are about. */
export interface Start {
  readonly version: string
  readonly url: string
  readonly loaded: Loaded
  readonly channels: { readonly [name: string]: AnyChannel }
  readonly epoch: number
  readonly postMortem: string
  readonly deadline: { readonly millis: number; readonly source: string }
}

/** How a channel delivers, in words. */
export const deliveryOf = ({ delivery }: AnyChannel): string => deliveryName(delivery)

const near = (path: string): string => {
  const short = relative(process.cwd(), path)
  return short === "" || short.startsWith("..") ? path : short
}

/** The facts of a start, for a log in JSON. */
export const facts = ({ channels, deadline, epoch, loaded, postMortem, url, version }: Start) => ({
  version,
  url,
  pid: process.pid,
  epoch,
  agents: Object.keys(loaded.configuration.agents),
  channels: Object.fromEntries(Object.entries(channels).map(([name, channel]) => [name, deliveryOf(channel)])),
  ...(Object.keys(loaded.configuration.pools).length === 0 ? {} : { pools: Object.keys(loaded.configuration.pools) }),
  store: fileIn(loaded.configuration.stateDirectory, "store"),
  configuration: loaded.file ?? null,
  deadline,
  lastStop: postMortem
})

/** The same for people. */
export const lines = ({
  channels,
  deadline,
  epoch,
  loaded,
  postMortem,
  url,
  version
}: Start): ReadonlyArray<string> => {
  const { agents, personas, pools, stateDirectory } = loaded.configuration
  const speaks = personas["default"]?.agent ?? ""
  const names = Object.keys(agents).map((name) => (name === speaks ? `${name} (default)` : name))
  const token = loaded.configuration.http.tokenFile ?? fileIn(stateDirectory, "token")
  return [
    `sluice ${version} is ready at ${url}`,
    `  agents     ${names.join(", ")}`,
    ...Object.entries(channels).map(([name, channel]) => `  channel    ${name}: ${deliveryOf(channel)}`),
    ...Object.entries(pools).map(([name, { capability, kind }]) => `  pool       ${name}: ${capability}, ${kind}`),
    `  journal    ${near(fileIn(stateDirectory, "store"))}, boot ${epoch}`,
    `  token      ${near(token)}`,
    `  deadline   ${deadline.millis / 1000} s for a stop (${deadline.source})`,
    `  last stop  ${postMortem}`
  ].map(escape)
}
