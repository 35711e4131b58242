// Receipts: choose, drop, paste. The files live in the form's own file input, so the form is sent as any other;
// what is refused here (too many, too big, another kind) the server would refuse too.
const kb = (bytes) => (bytes < 1048576 ? `${Math.round(bytes / 1024)} KB` : `${(bytes / 1048576).toFixed(1)} MB`);

function setUp(zone) {
  if (zone.dataset.ready !== undefined) return;
  zone.dataset.ready = '';
  const input = zone.querySelector('input[type=file]');
  const list = zone.querySelector('.dropzone-files');
  const trouble = zone.querySelector('[data-dropzone-error]');
  const max = Number(zone.dataset.max) || 5;
  const maxBytes = Number(zone.dataset.maxBytes) || 10485760;
  const kinds = input.accept.split(',').map((kind) => kind.trim());
  let files = [];
  let urls = [];

  function complain(sentences) {
    trouble.textContent = sentences.join('；');
    trouble.hidden = sentences.length === 0;
  }

  function draw() {
    urls.forEach((url) => URL.revokeObjectURL(url));
    urls = [];
    list.replaceChildren(...files.map((file, index) => {
      const row = document.getElementById('tpl-file').content.firstElementChild.cloneNode(true);
      row.querySelector('.dropzone-name').textContent = file.name;
      row.querySelector('.dropzone-size').textContent = kb(file.size);
      if (file.type.startsWith('image/') && file.type !== 'image/heic') {
        const image = document.createElement('img');
        image.alt = '';
        image.src = URL.createObjectURL(file);
        urls.push(image.src);
        row.querySelector('.dropzone-thumb').replaceChildren(image);
      }
      row.querySelector('[data-file-remove]').addEventListener('click', () => {
        files.splice(index, 1);
        complain([]);
        commit();
        (list.querySelector('button') ?? input).focus();
      });
      return row;
    }));
    list.hidden = files.length === 0;
    zone.classList.toggle('has-files', files.length > 0);
    zone.classList.toggle('is-full', files.length >= max);
  }

  function commit() {
    const transfer = new DataTransfer();
    files.forEach((file) => transfer.items.add(file));
    input.files = transfer.files;
    draw();
    zone.dispatchEvent(new CustomEvent('desk:files', { bubbles: true, detail: { count: files.length } }));
  }

  function add(incoming) {
    const sentences = [];
    for (const file of incoming) {
      const known = files.some((had) => had.name === file.name && had.size === file.size && had.lastModified === file.lastModified);
      // Windows tells no type for HEIC; the server looks into the file anyway.
      const allowed = kinds.includes(file.type) || (!file.type && /\.(heic|heif)$/i.test(file.name));
      if (known) continue;
      if (!allowed) sentences.push(`「${file.name}」不是图片或 PDF，没有添加`);
      else if (file.size > maxBytes) sentences.push(`「${file.name}」有 ${kb(file.size)}，超过 ${kb(maxBytes)}，没有添加`);
      else if (files.length >= max) sentences.push(`最多 ${max} 个文件，「${file.name}」没有添加`);
      else files.push(file);
    }
    complain(sentences);
    commit();
  }

  input.addEventListener('change', () => add([...input.files]));
  for (const name of ['dragover', 'dragenter']) {
    zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add('is-over'); });
  }
  zone.addEventListener('dragleave', (event) => { if (!zone.contains(event.relatedTarget)) zone.classList.remove('is-over'); });
  zone.addEventListener('drop', (event) => {
    event.preventDefault();
    zone.classList.remove('is-over');
    add([...event.dataTransfer.files]);
  });
  input.form?.addEventListener('reset', () => { files = []; setTimeout(commit); });
  zone.addEventListener('desk:paste-files', (event) => add(event.detail.files));
}

const setUpAll = (root) => root.querySelectorAll?.('[data-dropzone]').forEach(setUp);
document.addEventListener('htmx:load', (event) => setUpAll(event.detail.elt));
setUpAll(document);

// A pasted screenshot goes to the visible zone nearest to the focus; pasted text is left alone.
document.addEventListener('paste', (event) => {
  const pasted = [...(event.clipboardData?.files ?? [])];
  if (!pasted.length) return;
  const near = document.activeElement?.closest('form')?.querySelector('[data-dropzone]');
  const zone = near ?? [...document.querySelectorAll('[data-dropzone]')].findLast((each) => each.offsetParent);
  if (!zone) return;
  event.preventDefault();
  // Browsers call every pasted picture image.png; numbered by time they can be told apart.
  const stamp = new Date().toTimeString().slice(0, 8).replaceAll(':', '');
  const files = pasted.map((file, index) => (/^image\.\w+$/.test(file.name)
    ? new File([file], `截图-${stamp}${index ? `-${index + 1}` : ''}.${file.name.split('.').pop()}`, { type: file.type, lastModified: Date.now() })
    : file));
  zone.dispatchEvent(new CustomEvent('desk:paste-files', { detail: { files } }));
});
// A file dropped beside the zone would replace the page, and with it the form.
for (const name of ['dragover', 'drop']) {
  window.addEventListener(name, (event) => { if (document.querySelector('[data-dropzone]')) event.preventDefault(); });
}
