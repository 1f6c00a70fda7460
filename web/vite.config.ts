import { svelte } from '@sveltejs/vite-plugin-svelte'
import { loadEnv } from 'vite'
import { defineConfig } from 'vitest/config'

// `npm run dev` talks to a running `kedge serve`; the built files are served by it.
const server = loadEnv('', '.', 'KEDGE_').KEDGE_URL ?? 'http://127.0.0.1:8080'
const through = { target: server, changeOrigin: true, headers: { origin: server } } // the server answers its own pages only

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: '../src/kedge/api/dashboard',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0, // data: addresses would need an exception in the content security policy
    modulePreload: { polyfill: false },
    license: { fileName: 'licenses.md' },
    reportCompressedSize: true,
  },
  server: {
    proxy: {
      '/api': through,
      '/health': through,
      '/ws': { ...through, ws: true, rewriteWsOrigin: true },
    },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
})
