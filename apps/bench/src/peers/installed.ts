/**
 * Other projects, installed on demand: they are no dependencies of this one. Each set has a folder of its own below
 * node_modules/.cache, at exact versions, by npm; without a network a side is left out with a line that says why.
 */
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { Absent } from "./Contestant.ts"

const cache = join(import.meta.dirname, "../../../../node_modules/.cache/peers")

export interface Installed {
  /** Path of a file in the set's node_modules. */
  readonly path: (...parts: ReadonlyArray<string>) => string
  /** Imports a module of the set. What it offers is for the caller to say. */
  readonly load: <T>(name: string) => Promise<T>
}

const npm = (args: ReadonlyArray<string>, folder: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn("npm", args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] })
    let said = ""
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString()
    })
    child.on("error", reject)
    child.on("exit", (code) => {
      const why = said.split("\n").find((line) => line.startsWith("npm error")) ?? `npm ended with ${code}`
      return code === 0 ? resolve() : reject(new Error(why))
    })
  })

/** `packages` as `name@version`. Install scripts don't run: none of the sets needs one. */
export const installed = async (set: string, packages: ReadonlyArray<string>): Promise<Installed> => {
  const folder = join(cache, set)
  const stamp = join(folder, "installed")
  const wanted = packages.join(" ")
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, "package.json"), `{ "private": true }\n`)
    writeFileSync(join(folder, "load.mjs"), "export const load = (name) => import(name)\n")
    process.stderr.write(`installing ${wanted} ...\n`)
    const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", "--loglevel=error"]
    try {
      await npm(["install", ...options, "--fetch-retries=1", ...packages], folder)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      throw new Absent(`npm could not install ${wanted} (${why}): run it once with a network`)
    }
    writeFileSync(stamp, wanted)
  }
  const { load } = (await import(pathToFileURL(join(folder, "load.mjs")).href)) as {
    readonly load: (name: string) => Promise<unknown>
  }
  return {
    path: (...parts) => join(folder, "node_modules", ...parts),
    load: <T>(name: string) => load(name) as Promise<T>
  }
}
