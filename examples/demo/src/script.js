// Shows what many requests at once leave of one session. Without a script the forms do the rest.
'use strict';
const element = id => document.getElementById(id);
const tab = element('tabs')?.dataset.tab;
const channel = new BroadcastChannel('session');

// A form's request. A redirect means that it was done.
const post = async (path, fields) => {
  const answer = await fetch(path, { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual' });
  return answer.type === 'opaqueredirect' ? 'done' : answer.status;
};

const show = async () => {
  const counts = await (await fetch('/state')).json();
  counts.forEach((count, index) => { element(`count-${index + 1}`).textContent = count; });
  return counts;
};

const tell = text => {
  element('told').textContent = text;
  element('told').hidden = false;
};

// All tabs of this browser have the same session.
channel.onmessage = () => { if (tab) show(); };

const on = (id, act) => {
  const button = element(id);
  if (!button) return;
  button.hidden = false;
  button.onclick = async () => {
    button.disabled = true;
    try { await act(); } catch (error) { tell(`That did not work: ${error.message}`); }
    button.disabled = false;
  };
};

on('count-at-once', async () => {
  const before = (await show()).map(Number);
  // A visitor's first change makes the session, so it goes alone.
  const answers = [await post('/count', { tab: 1 })];
  const requests = Array.from({ length: 19 }, (_, number) => post('/count', { tab: number % 2 ? 1 : 2 }));
  answers.push(...await Promise.all(requests));
  const after = await show();
  const done = answers.filter(answer => answer === 'done').length;
  tell(`${done} of 20 requests were answered, and ${after[0] + after[1] - before[0] - before[1]} are in the session.`);
  channel.postMessage('changed');
});

on('sign-in-among-others', async () => {
  const name = element('name');
  if (!name.reportValidity()) return;
  await post('/count', { tab });
  const count = () => post('/count', { tab });
  const first = Array.from({ length: 4 }, count);
  const signIn = post('/sign-in', { name: name.value });
  const answers = await Promise.all([...first, ...Array.from({ length: 4 }, count)]);
  await signIn;
  const kept = answers.filter(answer => answer === 'done').length;
  sessionStorage.told = `Signed in among 8 other requests. In the session: ${kept}. Refused, as they carried the old id: `
    + `${8 - kept}. None of them signed you out.`;
  location.reload();
});

if (sessionStorage.told) {
  tell(sessionStorage.told);
  delete sessionStorage.told;
}

document.addEventListener('submit', event => {
  const path = new URL(event.target.action).pathname;
  if (path === '/count') {
    event.preventDefault();
    post(path, { tab }).then(async answer => {
      if (answer !== 'done') return location.reload();
      await show();
      channel.postMessage('changed');
    });
  }
});
