// Runs before `npm start` and `npm test`: installs the dependencies when what they follow from has changed, and says
// nothing otherwise. Imports only node: modules, because on a fresh clone there is nothing else, and uses nothing newer
// than Node 20, because the Node that the project runs on (26, a dependency of its own) comes with this installation.
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const pnpm = "pnpm@12.21.0"
const root = dirname(dirname(fileURLToPath(import.meta.url)))
const stamp = join(root, "node_modules", ".sluice-install")

/** Everything that `pnpm install` reads, in a stable order. */
const inputs = () => {
  /** @param {string} folder */
  const entries = (folder) => (existsSync(join(root, folder)) ? readdirSync(join(root, folder)).sort() : [])
  const manifests = ["packages", "apps"].flatMap((room) => entries(room).map((name) => `${room}/${name}/package.json`))
  const patches = entries("patches").map((name) => `patches/${name}`)
  return ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", ".npmrc", ...manifests, ...patches]
}

const fingerprint = () => {
  const hash = createHash("sha256").update(`${pnpm} ${process.platform} ${process.arch}\n`)
  for (const path of inputs()) {
    if (!existsSync(join(root, path))) continue
    hash.update(`${path}\n`).update(readFileSync(join(root, path)))
  }
  return hash.digest("hex")
}

const installed = () => (existsSync(stamp) ? readFileSync(stamp, "utf8") : "")

const major = Number(process.versions.node.split(".")[0])
if (major < 20) {
  console.error(`sluice: Node ${process.versions.node} is too old to install the project, use Node 20 or newer.`)
  process.exit(1)
}

const wanted = fingerprint()
if (installed() !== wanted) {
  console.error("sluice: installing dependencies ...")
  // Killed half-way it must not look finished, whatever the manifests say by then.
  rmSync(stamp, { force: true })
  // --prefer-offline twice: without it npx waits for the network for over a minute before it uses what it has.
  const args = ["--yes", "--prefer-offline", pnpm, "install", "--frozen-lockfile", "--prefer-offline"]
  const { status, signal, error } = spawnSync("npx", args, {
    cwd: root,
    // Without a network the default is to try again for 70 seconds before one hears of it.
    env: { ...process.env, npm_config_fetch_retry_mintimeout: "1000", npm_config_fetch_retry_maxtimeout: "5000" },
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32"
  })
  if (status !== 0) {
    const why = error?.message ?? (signal === null ? `code ${status}` : signal)
    console.error(
      `sluice: the dependencies could not be installed (${why}, see above); the first time this needs the npm registry.`
    )
    process.exit(1)
  }
  writeFileSync(stamp, wanted)
}
