// Which file may know which: the order of the runtime's modules, the rooms that a package may enter, and the forms of
// import that keep the start fast. An import in the wrong direction is how two modules begin to need each other.
import { describe, expect, it } from "vitest"
import { manifest, modules, modulesIn, read, resolve } from "./Repository.ts"
import type { Import, Module } from "./Repository.ts"

const order = [
  ["Message"],
  ["SessionData"],
  ["Channel", "Agent", "Notices", "Attachments"],
  ["Journal"],
  ["Outbox"],
  ["FollowupQueue"],
  ["Session"],
  ["Sessions"],
  ["Debouncer"],
  ["Commands"],
  ["Intake"],
  ["Recovery"],
  ["Shutdown"],
  ["Gateway"]
]

const src = "packages/runtime/src/"
const rankOf = (path: string): number => order.findIndex((names) => names.some((name) => path === `${src}${name}.ts`))
const runtime = new Map(modulesIn(/^packages\/runtime\/src\//).map((module) => [module.path, module]))
const isPublic = (path: string): boolean => path.startsWith(src) && !path.slice(src.length).includes("/")

const where = (module: Module, found: Import): string => `${module.path}:${found.line} imports ${found.from}`
const offences = (from: ReadonlyArray<Module>, wrong: (found: Import, module: Module) => boolean): Array<string> =>
  from.flatMap((module) => module.imports.filter((found) => wrong(found, module)).map((found) => where(module, found)))

/** What a public file knows, with the way there: its own imports, and those of the internal files that it uses. */
const knows = (
  start: Module
): ReadonlyArray<{ readonly path: string; readonly typeOnly: boolean; readonly via: string }> => {
  const seen = new Set<string>()
  const visit = (module: Module): ReturnType<typeof knows> => {
    if (seen.has(module.path)) return []
    seen.add(module.path)
    return module.imports
      .filter(({ from }) => from.startsWith("."))
      .flatMap((found) => {
        const path = resolve(module.path, found.from)
        const next = runtime.get(path)
        if (next !== undefined && !isPublic(path)) return visit(next)
        return [{ path, typeOnly: found.typeOnly, via: where(module, found) }]
      })
  }
  return visit(start)
}

describe("imports", () => {
  it("a runtime module imports only what stands to its left, also by way of internal files", () => {
    const wrong = [...runtime.values()]
      .filter(({ path }) => isPublic(path))
      .flatMap((module) => {
        const own = rankOf(module.path)
        if (own === -1) return [`${module.path} has no place in the order`]
        return knows(module)
          .filter(({ path, typeOnly, via }) => {
            // An internal file may name the types of the module that it works for: they are gone at run time.
            const ofItsUser = path === module.path && typeOnly && !via.startsWith(`${module.path}:`)
            return !ofItsUser && rankOf(path) >= own
          })
          .map(({ via }) => `${via}, for ${module.path.slice(src.length)}`)
      })
    expect(wrong).toEqual([])
  })

  it("every internal file of the runtime has a user", () => {
    const used = new Set(
      [...runtime.values()].flatMap(({ imports, path }) => imports.map(({ from }) => resolve(path, from)))
    )
    const idle = [...runtime.keys()].filter(
      (path) => path.includes("/internal/") && !used.has(path) && !path.endsWith("Worker.ts")
    )
    expect(idle).toEqual([])
  })

  it("only src/internal/node of the runtime and of the pools knows Node", () => {
    const pools = modulesIn(/^packages\/pools\/src\//)
    const elsewhere = [...runtime.values(), ...pools].filter(({ path }) => !path.includes("/src/internal/node/"))
    expect(offences(elsewhere, ({ from }) => from.startsWith("node:"))).toEqual([])
  })

  it("no product code imports the testing room", () => {
    const product = modulesIn(/^(packages|apps)\/[^/]+\/src\//).filter(({ path }) => !path.includes("/src/testing/"))
    expect(offences(product, ({ from }) => /\/testing(\/|$)/.test(from))).toEqual([])
  })

  it.each([
    { name: "channels", sees: ["Message", "Channel", "Attachments"] },
    { name: "agents", sees: ["Message", "Agent"] },
    { name: "pools", sees: [] }
  ])("packages/$name sees $sees of the runtime and nothing else", ({ name, sees }) => {
    const own = modules.filter(({ path }) => path.startsWith(`packages/${name}/src/`))
    const allowed = new Set(sees.map((module) => `@sluice/runtime/${module}`))
    expect(offences(own, ({ from }) => from.startsWith("@sluice/") && !allowed.has(from))).toEqual([])
  })

  it("a package's sources import only what its manifest says that it needs", () => {
    const wrong = modulesIn(/^(packages|apps)\/[^/]+\/src\//).flatMap((module) => {
      const room = module.path.split("/").slice(0, 2).join("/")
      const { dependencies = {}, name: self, peerDependencies = {} } = manifest(`${room}/package.json`)
      const declared = new Set([...Object.keys(dependencies), ...Object.keys(peerDependencies)])
      return offences([module], ({ from }) => {
        if (from.startsWith(".") || from.startsWith("node:")) return false
        const name = from
          .split("/")
          .slice(0, from.startsWith("@") ? 2 : 1)
          .join("/")
        return name === self || !declared.has(name)
      })
    })
    expect(wrong).toEqual([])
  })

  it("only apps know the platform, the driver and the signals", () => {
    const packages = modulesIn(/^packages\/[^/]+\/src\//).filter(({ path }) => !path.includes("/src/testing/"))
    const platform = offences(packages, ({ from }) => /^@effect\/(platform-node|sql-sqlite-node)(\/|$)/.test(from))
    const process = packages.flatMap(({ calls, path }) =>
      calls
        .filter(({ name }) => /^process\.(on|once|addListener|prependListener|exit|abort|execve)$/.test(name))
        // The end of the process is no signal: children that a package started go with it.
        .filter(({ line }) => !(read(path).split("\n")[line - 1] ?? "").includes('process.on("exit", '))
        .map(({ line, name }) => `${path}:${line} calls ${name}`)
    )
    expect([...platform, ...process]).toEqual([])
  })

  it("no import goes through a barrel", () => {
    expect(offences(modules, ({ from }) => from === "effect" || from === "@effect/platform-node")).toEqual([])
  })

  it("effect's modules are imported as namespaces, or by the one name that they are called after", () => {
    const sources = modulesIn(/^(packages|apps)\/[^/]+\/src\//)
    const wrong = ({ from, named }: Import): boolean =>
      /^(effect|@effect)\//.test(from) && named.some((name) => name !== from.split("/").at(-1))
    expect(offences(sources, wrong)).toEqual([])
  })

  it("the program's first file loads nothing but node: modules before its handlers stand", () => {
    const loads = (path: string): ReadonlyArray<string> =>
      modules
        .filter((module) => module.path === path)
        .flatMap(({ imports }) => imports.filter(({ dynamic, typeOnly }) => !typeOnly && !dynamic))
        .flatMap(({ from }) => (from.startsWith(".") ? loads(resolve(path, from)) : [from]))
    const bin = modules.find(({ path }) => path === "apps/gateway/src/bin.ts")
    expect(bin?.imports.filter(({ dynamic }) => dynamic).map(({ from }) => from)).toEqual(["./main.ts"])
    expect(loads("apps/gateway/src/bin.ts").filter((from) => !from.startsWith("node:"))).toEqual([])
  })
})
