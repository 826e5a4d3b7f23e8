// The manifests agree with each other: exact versions, one version of each dependency, the same version and licence for
// all packages, and a published package that offers from dist/ exactly what the workspace offers from src/. A caret on
// a beta resolves to a release that the other half of the workspace can't load.
import { describe, expect, it } from "vitest"
import { manifest, matching, read } from "./Repository.ts"

const manifests = matching(/(^|\/)package\.json$/).map((path) => ({ path, json: manifest(path) }))
const published = manifests.filter(({ json }) => json.private !== true)

const dependencies = manifests.flatMap(({ json, path }) =>
  Object.entries({ ...json.dependencies, ...json.devDependencies }).map(([name, version]) => ({ name, path, version }))
)

/** What a published package must offer for an entry of its workspace's exports. */
const built = (source: unknown): unknown => {
  if (typeof source !== "string") return source
  const target = source.replace("./src/", "./dist/").replace(/\.ts$/, "")
  return { types: `${target}.d.ts`, default: `${target}.js` }
}

describe("manifests", () => {
  it("versions are exact, and the workspace's own packages come from the workspace", () => {
    const loose = dependencies.filter(({ name, version }) =>
      name.startsWith("@sluice/") ? version !== "workspace:*" : !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)
    )
    expect(loose).toEqual([])
  })

  it("each dependency has one version", () => {
    const versions = new Map<string, Set<string>>()
    for (const { name, version } of dependencies) versions.set(name, (versions.get(name) ?? new Set()).add(version))
    expect([...versions].filter(([, found]) => found.size > 1)).toEqual([])
  })

  it("all packages have the project's version, licence and kind of module", () => {
    const wanted = { version: manifest("package.json").version, license: "MIT", type: "module" }
    for (const { json, path } of manifests) expect({ path, ...json }).toMatchObject({ path, ...wanted })
  })

  it("a published package offers from dist what the workspace offers from src", () => {
    for (const { json, path } of published) {
      const wanted = Object.fromEntries(
        Object.entries(json.exports ?? {}).map(([name, source]) => [name, built(source)])
      )
      expect({ path, exports: json.publishConfig?.exports }).toEqual({ path, exports: wanted })
    }
  })

  it("published packages take effect as a peer, of one minor version", () => {
    for (const { json, path } of published) {
      expect({ path, effect: json.peerDependencies?.["effect"] }).toEqual({ path, effect: "~4.1.0" })
    }
  })

  it("every patch says in its first lines when it can go", () => {
    const silent = matching(/^patches\/.*\.patch$/).filter(
      (path) => !/can go/.test(read(path).split("diff --git")[0] ?? "")
    )
    expect(silent).toEqual([])
  })

  it("the patch of the SQLite driver is published with the runtime as it is applied here, under the name that the docs give", () => {
    const [name = ""] = matching(/^patches\/@effect__sql-sqlite-node@.*\.patch$/)
    expect(read(`packages/runtime/${name}`)).toBe(read(name))
    expect(manifest("packages/runtime/package.json").files).toContain("patches")
    const page = read("docs/embedding.md")
    expect(page).toContain(`/node_modules/@sluice/runtime/${name}`.slice(1))
    const version = manifest("packages/runtime/package.json").devDependencies?.["@effect/sql-sqlite-node"]
    expect(page).toContain(`"@effect/sql-sqlite-node@${version}": ${name}`)
  })
})
