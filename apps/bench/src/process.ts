/**
 * T11: the program from its start to ready, and what it weighs two seconds later,
 * from the bundle and through npm.
 */
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { type Figure, median, ms, now } from "./figure.ts"
import { inFolder } from "./store.ts"

const root = join(import.meta.dirname, "../../..")

interface Started {
  readonly millis: number
  readonly resident: number
}

/** Starts it, waits for the ready line, looks at its memory 2 s later, stops it and waits for its end. */
const start = (command: string, args: ReadonlyArray<string>, folder: string): Promise<Started> =>
  new Promise((resolve, reject) => {
    const begun = now()
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, SLUICE_STATE_DIR: join(folder, `state${begun}`), SLUICE_PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"]
    })
    let text = ""
    let started: Started | undefined
    const look = (millis: number) => {
      const match = /"pid":(\d+)/.exec(text)
      const pid = Number(match?.[1] ?? child.pid)
      const resident =
        Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? Number.NaN) / 1024
      started = { millis, resident }
      process.kill(pid, "SIGTERM")
    }
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString()
      if (started === undefined && text.includes('"ready"')) {
        const millis = now() - begun
        started = { millis, resident: Number.NaN }
        setTimeout(() => look(millis), 2000)
      }
    })
    child.on("error", reject)
    child.on("exit", () => (started === undefined ? reject(new Error(`no ready line:\n${text}`)) : resolve(started)))
  })

export const T11 = (): Promise<Figure> =>
  inFolder(async (folder) => {
    const bundles: Array<Started> = []
    const scripts: Array<Started> = []
    for (let round = 0; round < 6; round++) {
      const bundle = await start(process.execPath, ["apps/gateway/dist/bin.js", "run"], folder)
      const script = await start("npm", ["start", "--silent"], folder)
      if (round === 0) continue
      bundles.push(bundle)
      scripts.push(script)
    }
    const fromBundle = median(bundles.map(({ millis }) => millis))
    const fromScript = median(scripts.map(({ millis }) => millis))
    const resident = median(bundles.map(({ resident }) => resident))
    return {
      id: "T11",
      what: "start to ready (HTTP, store, demo agent) from the bundle; resident memory idle; through npm start",
      target: "<= 200 ms; <= 90 MB; <= 1 s",
      measured: `${ms(fromBundle)}; ${((resident * 1024 * 1024) / 1e6).toFixed(0)} MB; ${ms(fromScript)}`,
      met: fromBundle <= 200 && (resident * 1024 * 1024) / 1e6 <= 90 && fromScript <= 1000
    }
  })
