import './styles/tokens.css'
import './styles/palettes.css'
import './styles/base.css'
import { mount } from 'svelte'
import App from './App.svelte'
import { settings } from './lib/ui/settings.svelte.ts'

settings.start()
const target = document.getElementById('app')
if (target === null) throw new Error('index.html has no #app')
mount(App, { target })
