# SPDX-License-Identifier: Apache-2.0
# The test embed.find_package, run by `cmake -P`. The installation is moved before it is used: nothing in it may lead back.
file(REMOVE_RECURSE ${work})
file(MAKE_DIRECTORY ${work})

macro(run)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE output ERROR_VARIABLE errors RESULT_VARIABLE code)
  if(NOT code EQUAL 0)
    string(JOIN " " command ${ARGN})
    message(FATAL_ERROR "${command}: ${code}\n${output}${errors}")
  endif()
endmacro()

run(${CMAKE_COMMAND} --install ${build} --prefix ${work}/first)
file(RENAME ${work}/first ${work}/prefix)
file(COPY ${example}/ DESTINATION ${work}/example)

foreach(file man/man1/cachectl.1 man/man1/cachectl-prune.1 bash-completion/completions/cachectl zsh/site-functions/_cachectl
        fish/vendor_completions.d/cachectl.fish)
  if(NOT EXISTS ${work}/prefix/share/${file})
    message(FATAL_ERROR "${file} was not installed")
  endif()
endforeach()

# Headers of rooms stay at home.
file(GLOB_RECURSE headers RELATIVE ${work}/prefix/include/cairn ${work}/prefix/include/cairn/*.h)
foreach(header ${headers})
  if(header MATCHES "^lib(snapshot|cache|solver)/.*/" AND NOT header STREQUAL "libsolver/wire/ops.h")
    message(FATAL_ERROR "${header} is private and was installed")
  endif()
endforeach()

run(${CMAKE_COMMAND} -G Ninja -S ${work}/example -B ${work}/build -D CMAKE_PREFIX_PATH=${work}/prefix
    -D CMAKE_CXX_COMPILER=${compiler} "-DCMAKE_CXX_FLAGS=${flags}")
run(${CMAKE_COMMAND} --build ${work}/build)
file(WRITE ${work}/source/hello.txt "hello\n")
run(${work}/build/example ${work}/store ${work}/source)
if(NOT output STREQUAL "1\n0\n")
  message(FATAL_ERROR "the first solve shall execute 1 step and the second none; got:\n${output}${errors}")
endif()
run(${work}/prefix/bin/cachectl --root ${work}/store ls --json)
if(NOT output MATCHES "\"type\":\"source.local\"")
  message(FATAL_ERROR "cachectl does not find what the example stored:\n${output}${errors}")
endif()

# libsnapshot by itself, as docs/guides/embed-libsnapshot.md shows it.
file(MAKE_DIRECTORY ${work}/trees)
run(${work}/build/fork_tree ${work}/trees ${work}/layer.tar.gz)
# The root is among the changes unless both trees were made within one tick of the clock.
if(NOT output MATCHES "^(/\n)?/second\nsha256:[0-9a-f]+\n$")
  message(FATAL_ERROR "the second tree shall differ from the first by the file second; got:\n${output}${errors}")
endif()
run(tar -tzf ${work}/layer.tar.gz)
if(NOT output MATCHES "second\n$" OR output MATCHES "first")
  message(FATAL_ERROR "the layer shall hold the file second and not the first; it holds:\n${output}")
endif()

# libcache without the solver, as docs/guides/embed-libcache.md shows it.
file(MAKE_DIRECTORY ${work}/kept)
run(${work}/build/keep_trees ${work}/kept)
if(NOT output STREQUAL "variants 1, lazy 0\n2 records go, then 1\ndemo: 1 hit saved 41 s, 1 miss\n")
  message(FATAL_ERROR "a lease shall keep one record of three until it is released; got:\n${output}${errors}")
endif()

foreach(pair fork_tree:embed-libsnapshot keep_trees:embed-libcache)
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 name)
  list(GET pair 1 page)
  file(READ ${example}/${name}.cc program)
  file(READ ${guides}/${page}.md text)
  string(FIND "${text}" "${program}" place)
  if(place EQUAL -1)
    message(FATAL_ERROR "${page}.md shows another program than the one that was run")
  endif()
endforeach()
message(STATUS "the example found Cairn, solved 1 step, then none")
