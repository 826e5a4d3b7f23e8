/**
 * Servers that other projects store in: on 127.0.0.1, on a free port, in a folder of their own, ended by their pid. A
 * server that is not on this machine leaves its sides out, with a line that says how to get it.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs"
import { createServer, connect } from "node:net"
import { delimiter, join } from "node:path"
import { Absent } from "./Contestant.ts"

export interface Daemon {
  readonly port: number
  readonly version: string
  readonly stop: () => Promise<void>
}

/** A port that is free now. Whoever listens next may still take it: then the start fails and says so. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.on("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() =>
        address === null || typeof address === "string" ? reject(new Error("no port")) : resolve(address.port)
      )
    })
  })

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1")
    socket.on("connect", () => {
      socket.destroy()
      resolve(true)
    })
    socket.on("error", () => resolve(false))
  })

/** A child that is gone with this process, also when that ends by an error. */
export const started = (program: string, args: ReadonlyArray<string>, options: object): ChildProcess => {
  const child = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"] })
  const kill = () => void child.kill("SIGKILL")
  process.on("exit", kill)
  child.on("exit", () => process.off("exit", kill))
  return child
}

/** Waits for what says that a child has started; one that ends before that has its last lines in the error. */
const until = async (child: ChildProcess, said: () => string, ready: () => Promise<boolean>): Promise<void> => {
  const end = performance.now() + 60_000
  while (!(await ready())) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it ended at its start:\n${said()}`)
    if (performance.now() > end) throw new Error(`it did not start within 60 s:\n${said()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Waits until something listens. */
export const listening = (child: ChildProcess, port: number, said: () => string): Promise<void> =>
  until(child, said, () => answers(port))

/** Waits for the line that Redis and Postgres write: Postgres listens before it serves. */
const accepting = (child: ChildProcess): Promise<void> => {
  const said = lastWords(child)
  return until(child, said, () => Promise.resolve(/ready to accept connections/i.test(said())))
}

/** Keeps the end of what a process says, for an error message. */
export const lastWords = (child: ChildProcess): (() => string) => {
  let said = ""
  const hear = (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4000)
  }
  child.stdout?.on("data", hear)
  child.stderr?.on("data", hear)
  return () => said
}

/** Ends a child by its pid and waits for its end. */
export const ended = (child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.on("exit", () => resolve())
    child.kill(signal)
  })

const find = (name: string, more: ReadonlyArray<string>, how: string): string => {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), ...more]
  const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
  if (found === undefined) throw new Absent(`${name} is not on this machine: ${how}`)
  return found
}

const versionOf = (program: string): string =>
  /\d+\.\d+(\.\d+)?/.exec(execFileSync(program, ["--version"], { encoding: "utf8" }))?.[0] ?? "of unknown version"

/** Redis, with its settings as `redis-server` takes them. */
export const redis = async (folder: string, settings: ReadonlyArray<string>): Promise<Daemon> => {
  const program = find("redis-server", [], "apt-get install redis-server, or any Redis in PATH")
  const port = await freePort()
  const args = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder, ...settings]
  const child = started(program, args, {})
  await accepting(child)
  return { port, version: versionOf(program), stop: () => ended(child) }
}

/** Somebody who may run Postgres: it refuses root. */
const unprivileged = (): { readonly uid?: number; readonly gid?: number } => {
  if (process.getuid?.() !== 0) return {}
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
  const user = ["postgres", "nobody"].map((name) => users.find(([found]) => found === name)).find(Boolean)
  if (user === undefined) throw new Absent("Postgres refuses root and there is no user postgres or nobody")
  return { uid: Number(user[2]), gid: Number(user[3]) }
}

/** Postgres with the settings it comes with: every commit waits for its flush. */
export const postgres = async (folder: string): Promise<Daemon & { readonly url: string }> => {
  const base = "/usr/lib/postgresql"
  const releases = existsSync(base) ? readdirSync(base).map((release) => join(base, release, "bin")) : []
  const how = "apt-get install postgresql, or any Postgres in PATH"
  const [program, initdb] = [find("postgres", releases, how), find("initdb", releases, how)]
  const who = unprivileged()
  const data = join(folder, "postgres")
  mkdirSync(data, { recursive: true, mode: 0o700 })
  for (const path of [folder, data]) if (who.uid !== undefined) chownSync(path, who.uid, who.gid ?? who.uid)
  const environment = { ...process.env, LC_ALL: "C" }
  execFileSync(initdb, ["-D", data, "-U", "bench", "--auth=trust", "--encoding=UTF8"], {
    ...who,
    cwd: data,
    env: environment,
    stdio: ["ignore", "ignore", "pipe"]
  })
  const port = await freePort()
  const args = ["-D", data, "-p", `${port}`, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
  const child = started(program, args, { ...who, cwd: data, env: environment })
  await accepting(child)
  // SIGINT is its fast end: clients are cut off.
  return {
    port,
    version: versionOf(program),
    url: `postgres://bench@127.0.0.1:${port}/postgres`,
    stop: () => ended(child, "SIGINT")
  }
}
